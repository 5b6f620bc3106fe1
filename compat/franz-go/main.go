// franz-go without groups: produce, read by offset and time; the ledger; the admin package.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	records = 1000
	baseMs  = 1_000_000_000_000
)

var bootstrap string

func check(name string, body func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := body(ctx); err != nil {
		fmt.Println("fail", name, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Println("pass", name)
}

func client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap), kgo.AllowAutoTopicCreation(),
		kgo.FetchMaxWait(200*time.Millisecond))...)
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

func produceSeries(ctx context.Context, topic, compression string, acks kgo.Acks) error {
	producer, err := client(kgo.DisableIdempotentWrite(), kgo.RequiredAcks(acks),
		kgo.ProducerBatchCompression(codec(compression)), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(2*time.Millisecond))
	if err != nil {
		return err
	}
	defer producer.Close()
	batch := make([]*kgo.Record, records)
	for i := range batch {
		batch[i] = &kgo.Record{Topic: topic, Key: []byte(fmt.Sprintf("key-%d", i%7)),
			Value: []byte(fmt.Sprintf("value-%d", i)), Timestamp: time.UnixMilli(baseMs + int64(i)),
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(fmt.Sprint(i))}}}
	}
	for i, result := range producer.ProduceSync(ctx, batch...) {
		if result.Err != nil {
			return result.Err
		}
		if acks != kgo.NoAck() && result.Record.Offset != int64(i) {
			return fmt.Errorf("answered offset %d of record %d", result.Record.Offset, i)
		}
	}
	return nil
}

func read(ctx context.Context, topic string, at kgo.Offset, count int) ([]*kgo.Record, error) {
	consumer, err := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: at}}))
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	var got []*kgo.Record
	for len(got) < count {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("after %d records: %w", len(got), err)
		}
		got = append(got, fetches.Records()...)
	}
	return got, nil
}

func readSeries(ctx context.Context, topic string, own bool) error {
	got, err := read(ctx, topic, kgo.NewOffset().AtStart(), records)
	if err != nil {
		return err
	}
	for i, record := range got {
		if record.Offset != int64(i) || string(record.Key) != fmt.Sprintf("key-%d", i%7) ||
			string(record.Value) != fmt.Sprintf("value-%d", i) {
			return fmt.Errorf("record %d", i)
		}
		if own && (record.Timestamp.UnixMilli() != baseMs+int64(i) || len(record.Headers) != 1 ||
			string(record.Headers[0].Value) != fmt.Sprint(i)) {
			return fmt.Errorf("timestamp or headers of record %d", i)
		}
	}
	return nil
}

func readAt(at kgo.Offset, first int64) func(context.Context) error {
	return func(ctx context.Context) error {
		got, err := read(ctx, "franz-go-lz4", at, 1)
		if err == nil && got[0].Offset != first {
			err = fmt.Errorf("offset %d, not %d", got[0].Offset, first)
		}
		return err
	}
}

func main() {
	bootstrap = os.Args[2]
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
	for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		check("reads-kcat-"+compression, func(ctx context.Context) error {
			return readSeries(ctx, "seed-"+compression, false)
		})
		check("produce-"+compression, func(ctx context.Context) error {
			return produceSeries(ctx, "franz-go-"+compression, compression, kgo.AllISRAcks())
		})
		check("consume-"+compression, func(ctx context.Context) error {
			return readSeries(ctx, "franz-go-"+compression, true)
		})
	}
	check("acks-0", func(ctx context.Context) error {
		return produceSeries(ctx, "franz-go-acks-0", "none", kgo.NoAck())
	})
	check("acks-1", func(ctx context.Context) error {
		return produceSeries(ctx, "franz-go-acks-1", "none", kgo.LeaderAck())
	})
	check("offset", readAt(kgo.NewOffset().At(500), 500))
	check("five-before-the-end", readAt(kgo.NewOffset().AtEnd().Relative(-5), records-5))
	check("by-time", readAt(kgo.NewOffset().AfterMilli(baseMs+700), 700))
	adminChecks()
}
