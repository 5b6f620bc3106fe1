// The writer and the reader of compat/ledger.sh, which says what they print, with the idempotent producer.
package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

const unansweredMax = 1000

func inputEnds() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	return ended
}

func ledgerValue(partition int32, number int64) []byte {
	padding := int(number * 7919 % 1000)
	if number%997 == 996 {
		padding = 100_000
	}
	return append([]byte(fmt.Sprintf("%d:%d:", partition, number)), bytes.Repeat([]byte("x"), padding)...)
}

// What the library itself asks for with Idempotent; by default it tries three times within 300 ms, less than a restart.
func idempotent() *sarama.Config {
	settings := config(sarama.MaxVersion)
	settings.Producer.Idempotent = true
	settings.Producer.RequiredAcks = sarama.WaitForAll
	settings.Net.MaxOpenRequests = 1
	settings.Producer.Retry.Max = 1000
	settings.Metadata.Retry.Max = 1000
	return settings
}

func ledgerWrite(topic string, partitions int32) error {
	ended := inputEnds()
	producer, err := sarama.NewAsyncProducer(bootstrap, idempotent())
	if err != nil {
		return err
	}
	room := make(chan struct{}, unansweredMax)
	var answered sync.WaitGroup
	answered.Add(2)
	go func() {
		defer answered.Done()
		for message := range producer.Successes() {
			fmt.Println("acked", message.Partition, message.Metadata, message.Offset)
			<-room
		}
	}()
	go func() {
		defer answered.Done()
		for failure := range producer.Errors() {
			fmt.Println("failed", failure.Msg.Partition, failure.Msg.Metadata,
				strings.ReplaceAll(failure.Err.Error(), "\n", " "))
			<-room
		}
	}()
	next := make([]int64, partitions)
	for open := true; open; {
		select {
		case <-ended:
			open = false
		case room <- struct{}{}:
			partition := rand.Int32N(partitions)
			number := next[partition]
			next[partition]++
			producer.Input() <- &sarama.ProducerMessage{Topic: topic, Partition: partition, Metadata: number,
				Value: sarama.ByteEncoder(ledgerValue(partition, number))}
		}
	}
	producer.AsyncClose()
	answered.Wait()
	for partition, count := range next {
		fmt.Println("sent", partition, count)
	}
	return nil
}

func ledgerRead(topic string, partitions int32) error {
	ended := inputEnds()
	settings := config(sarama.MaxVersion)
	settings.Metadata.Retry.Max = 1000
	settings.Consumer.Return.Errors = true
	client, err := sarama.NewClient(bootstrap, settings)
	if err != nil {
		return err
	}
	defer client.Close()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}
	defer consumer.Close()
	var print sync.Mutex
	var readers sync.WaitGroup
	for i := int32(0); i < partitions; i++ {
		reader, err := consumer.ConsumePartition(topic, i, 0)
		if err != nil {
			return err
		}
		readers.Add(1)
		go func() {
			defer readers.Done()
			readPartition(client, reader, topic, i, ended, &print)
			_ = reader.Close()
		}()
	}
	readers.Wait()
	return nil
}

func readPartition(client sarama.Client, reader sarama.PartitionConsumer, topic string, partition int32,
	ended <-chan struct{}, print *sync.Mutex) {
	position, end := int64(0), int64(-1)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end < 0 || position < end {
		select {
		case message, open := <-reader.Messages():
			if !open { // it gives up where the offset does not exist
				fmt.Println("failed", partition, position, "the reader was closed")
				return
			}
			print.Lock()
			printRecord(message)
			print.Unlock()
			position = message.Offset + 1
		case err := <-reader.Errors(): // the library goes on by itself
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		case <-tick.C:
			select {
			case <-ended:
				if newest, err := client.GetOffset(topic, partition, sarama.OffsetNewest); err == nil {
					end = newest
				}
			default:
			}
		}
	}
}

func printRecord(message *sarama.ConsumerMessage) {
	var partition int32
	var number int64
	word := "read"
	_, _ = fmt.Sscanf(string(message.Value[:min(len(message.Value), 40)]), "%d:%d:", &partition, &number)
	if !bytes.Equal(message.Value, ledgerValue(message.Partition, number)) {
		word = "corrupt"
	}
	fmt.Println(word, message.Partition, message.Offset, number)
}
