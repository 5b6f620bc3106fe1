// sarama without groups, with the protocol versions of an old and of a new broker; the ledger; ClusterAdmin.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

const (
	records = 1000
	baseMs  = 1_000_000_000_000
	timeout = 30 * time.Second
)

var bootstrap []string

func check(name string, body func() error) {
	if err := body(); err != nil {
		fmt.Println("fail", name, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Println("pass", name)
}

func config(version sarama.KafkaVersion) *sarama.Config {
	config := sarama.NewConfig()
	config.Version = version
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	return config
}

func produceSeries(version sarama.KafkaVersion, topic, codec string, acks sarama.RequiredAcks) error {
	settings := config(version)
	settings.Producer.RequiredAcks = acks
	if err := settings.Producer.Compression.UnmarshalText([]byte(codec)); err != nil {
		return err
	}
	producer, err := sarama.NewSyncProducer(bootstrap, settings)
	if err != nil {
		return err
	}
	defer producer.Close()
	messages := make([]*sarama.ProducerMessage, records)
	for i := range messages {
		messages[i] = &sarama.ProducerMessage{Topic: topic, Partition: 0,
			Key: sarama.StringEncoder(fmt.Sprintf("key-%d", i%7)), Value: sarama.StringEncoder(fmt.Sprintf("value-%d", i)),
			Timestamp: time.UnixMilli(baseMs + int64(i)),
			Headers:   []sarama.RecordHeader{{Key: []byte("h"), Value: []byte(fmt.Sprint(i))}}}
	}
	if err := producer.SendMessages(messages); err != nil {
		return err
	}
	for i, message := range messages {
		if acks != sarama.NoResponse && message.Offset != int64(i) {
			return fmt.Errorf("answered offset %d of record %d", message.Offset, i)
		}
	}
	return nil
}

func readSeries(version sarama.KafkaVersion, topic string, own bool) error {
	consumer, err := sarama.NewConsumer(bootstrap, config(version))
	if err != nil {
		return err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	defer partition.Close()
	deadline := time.After(timeout)
	for i := 0; i < records; i++ {
		select {
		case message := <-partition.Messages():
			if message.Offset != int64(i) || string(message.Key) != fmt.Sprintf("key-%d", i%7) ||
				string(message.Value) != fmt.Sprintf("value-%d", i) {
				return fmt.Errorf("record %d", i)
			}
			if own && (message.Timestamp.UnixMilli() != baseMs+int64(i) || len(message.Headers) != 1 ||
				string(message.Headers[0].Value) != fmt.Sprint(i)) {
				return fmt.Errorf("timestamp or headers of record %d", i)
			}
		case <-deadline:
			return fmt.Errorf("only %d records came", i)
		}
	}
	return nil
}

func offsets(version sarama.KafkaVersion, topic string) error {
	client, err := sarama.NewClient(bootstrap, config(version))
	if err != nil {
		return err
	}
	defer client.Close()
	for at, expected := range map[int64]int64{sarama.OffsetOldest: 0, sarama.OffsetNewest: records, baseMs + 500: 500} {
		offset, err := client.GetOffset(topic, 0, at)
		if err != nil {
			return err
		}
		if offset != expected {
			return fmt.Errorf("offset %d for %d", offset, at)
		}
	}
	return nil
}

func main() {
	bootstrap = os.Args[2:3]
	switch os.Args[1] {
	case "write":
		ledger(ledgerWrite)
	case "read":
		ledger(ledgerRead)
	case "member":
		end(groupMember(os.Args[3], os.Args[4], os.Args[5], os.Args[6]))
	case "group-admin":
		end(groupAdmin(os.Args[3], os.Args[4], os.Args[5], os.Args[6], os.Args[7]))
	default:
		checks()
	}
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ledger(body func(topic string, partitions int32) error) {
	partitions, err := strconv.Atoi(os.Args[4])
	if err == nil {
		err = body(os.Args[3], int32(partitions))
	}
	end(err)
}

func checks() {
	for name, version := range map[string]sarama.KafkaVersion{"old": sarama.V0_11_0_0, "new": sarama.MaxVersion} {
		topic := "sarama-" + name
		check(name+"-produce", func() error { return produceSeries(version, topic, "lz4", sarama.WaitForAll) })
		check(name+"-consume", func() error { return readSeries(version, topic, true) })
		check(name+"-offsets", func() error { return offsets(version, topic) })
	}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		check("reads-kcat-"+codec, func() error { return readSeries(sarama.MaxVersion, "seed-"+codec, false) })
		check("produce-"+codec, func() error {
			return produceSeries(sarama.MaxVersion, "sarama-"+codec, codec, sarama.WaitForAll)
		})
		check("consume-"+codec, func() error { return readSeries(sarama.MaxVersion, "sarama-"+codec, true) })
	}
	check("acks-0", func() error {
		return produceSeries(sarama.MaxVersion, "sarama-acks-0", "none", sarama.NoResponse)
	})
	check("acks-1", func() error {
		return produceSeries(sarama.MaxVersion, "sarama-acks-1", "none", sarama.WaitForLocal)
	})
	adminChecks()
}
