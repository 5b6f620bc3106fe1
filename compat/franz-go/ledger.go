// The writer and the reader of compat/ledger.sh, which says what they print, with the client's defaults.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const unansweredMax = 1000

func inputEnds() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}

func ledgerValue(partition int32, number int64) []byte {
	padding := int(number * 7919 % 1000)
	if number%997 == 996 {
		padding = 100_000
	}
	return append([]byte(fmt.Sprintf("%d:%d:", partition, number)), bytes.Repeat([]byte("x"), padding)...)
}

func ledgerWrite(topic string, partitions int32) error {
	ended := inputEnds()
	producer, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer producer.Close()
	next := make([]int64, partitions)
	room := make(chan struct{}, unansweredMax)
	for ended.Err() == nil {
		partition := rand.Int32N(partitions)
		number := next[partition]
		next[partition]++
		room <- struct{}{}
		record := &kgo.Record{Topic: topic, Partition: partition, Value: ledgerValue(partition, number)}
		producer.Produce(context.Background(), record, func(record *kgo.Record, err error) {
			if err != nil {
				fmt.Println("failed", partition, number, strings.ReplaceAll(err.Error(), "\n", " "))
			} else {
				fmt.Println("acked", partition, number, record.Offset)
			}
			<-room
		})
	}
	if err := producer.Flush(context.Background()); err != nil {
		return err
	}
	for partition, count := range next {
		fmt.Println("sent", partition, count)
	}
	return nil
}

// The offset after the last record of each partition.
func ends(client *kgo.Client, topic string, partitions int32) (map[int32]int64, error) {
	request, ends := kmsg.NewPtrListOffsetsRequest(), map[int32]int64{}
	of := kmsg.NewListOffsetsRequestTopic()
	of.Topic = topic
	for i := int32(0); i < partitions; i++ {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = i, -1
		of.Partitions = append(of.Partitions, partition)
	}
	request.ReplicaID, request.Topics = -1, append(request.Topics, of)
	response, err := request.RequestWith(context.Background(), client)
	if err != nil {
		return nil, err
	}
	for _, partition := range response.Topics[0].Partitions {
		if partition.ErrorCode != 0 {
			return nil, fmt.Errorf("end of %d: error %d", partition.Partition, partition.ErrorCode)
		}
		ends[partition.Partition] = partition.Offset
	}
	return ends, nil
}

func ledgerRead(topic string, partitions int32) error {
	ended := inputEnds()
	from, position := map[int32]kgo.Offset{}, map[int32]int64{}
	for i := int32(0); i < partitions; i++ {
		from[i] = kgo.NewOffset().At(0)
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return err
	}
	defer consumer.Close()
	var until map[int32]int64
	for {
		if until == nil && ended.Err() != nil {
			if until, err = ends(consumer, topic, partitions); err != nil {
				return err
			}
		}
		missing := until == nil
		for partition, end := range until {
			missing = missing || position[partition] < end
		}
		if !missing {
			return nil
		}
		poll := ended // a wait without records ends when the input does
		if until != nil {
			poll = context.Background()
		}
		fetches := consumer.PollFetches(poll)
		fetches.EachError(func(_ string, partition int32, err error) {
			if err != context.Canceled {
				fmt.Println("failed", partition, position[partition], strings.ReplaceAll(err.Error(), "\n", " "))
			}
		})
		fetches.EachRecord(func(record *kgo.Record) {
			var partition int32
			var number int64
			word := "read"
			_, _ = fmt.Sscanf(string(record.Value[:min(len(record.Value), 40)]), "%d:%d:", &partition, &number)
			if !bytes.Equal(record.Value, ledgerValue(record.Partition, number)) {
				word = "corrupt"
			}
			fmt.Println(word, record.Partition, record.Offset, number)
			position[record.Partition] = record.Offset + 1
		})
	}
}
