// franz-go's admin package: topics made, described, changed, deleted and made again; a transactional producer.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	recreations = 10
	refusedIn   = 10 * time.Second
)

func expect(holds bool, what string, arguments ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(what, arguments...)
}

func expectError(expected, err error) error {
	return expect(errors.Is(err, expected), "%v, not %v", err, expected)
}

// The first that is not nil.
func first(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func text(value string) *string { return &value }

func withAdmin(body func(context.Context, *kadm.Client) error) func(context.Context) error {
	return func(ctx context.Context) error {
		one, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
		if err != nil {
			return err
		}
		defer one.Close()
		return body(ctx, kadm.NewClient(one))
	}
}

func adminCluster(ctx context.Context, admin *kadm.Client) error {
	found, err := admin.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	return first(expect(len(found.Cluster) == 22, "cluster id %s", found.Cluster),
		expect(len(found.Brokers) == 1 && found.Controller == found.Brokers[0].NodeID, "brokers %v", found.Brokers),
		expect(net.JoinHostPort(found.Brokers[0].Host, strconv.Itoa(int(found.Brokers[0].Port))) == bootstrap, "address"))
}

func adminCreate(ctx context.Context, admin *kadm.Client) error {
	made, err := admin.CreateTopic(ctx, 4, 1, map[string]*string{"retention.ms": text("1234567")}, "admin-made")
	if err != nil {
		return err
	}
	standard, err := admin.CreateTopic(ctx, -1, -1, nil, "admin-default")
	if err != nil {
		return err
	}
	answers, err := admin.ValidateCreateTopics(ctx, 2, 1, nil, "admin-not-made")
	if err != nil {
		return err
	}
	_, there := made.Configs["retention.ms"]
	return first(answers.Error(), expect(made.NumPartitions == 4 && there, "made %v", made),
		expect(standard.NumPartitions == 3 && standard.ReplicationFactor == 1, "by default %v", standard))
}

func adminCreateErrors(ctx context.Context, admin *kadm.Client) error {
	create := func(name string, partitions int32, replication int16, settings map[string]*string) error {
		_, err := admin.CreateTopic(ctx, partitions, replication, settings, name)
		return err
	}
	return first(create("admin.dotted", 1, 1, nil),
		expectError(kerr.TopicAlreadyExists, create("admin-made", 1, 1, nil)),
		expectError(kerr.InvalidTopicException, create("admin_dotted", 1, 1, nil)),
		expectError(kerr.InvalidTopicException, create("a b", 1, 1, nil)),
		expectError(kerr.InvalidPartitions, create("admin-bad", 0, 1, nil)),
		expectError(kerr.InvalidReplicationFactor, create("admin-bad", 1, 3, nil)),
		expectError(kerr.InvalidConfig, create("admin-bad", 1, 1, map[string]*string{"retention.ms": text("soon")})),
		expectError(kerr.InvalidConfig, create("admin-bad", 1, 1, map[string]*string{"no.such": text("1")})))
}

func adminDescribe(ctx context.Context, admin *kadm.Client) error {
	topics, err := admin.ListTopics(ctx, "admin-made", "admin-unknown")
	if err != nil {
		return err
	}
	made := topics["admin-made"]
	if err := first(made.Err, expect(len(made.Partitions) == 4, "partitions %v", made.Partitions),
		expectError(kerr.UnknownTopicOrPartition, topics["admin-unknown"].Err)); err != nil {
		return err
	}
	for _, partition := range made.Partitions {
		if len(partition.Replicas) != 1 || len(partition.ISR) != 1 || partition.Leader != partition.Replicas[0] {
			return fmt.Errorf("partition %v", partition)
		}
	}
	return nil
}

func setting(ctx context.Context, admin *kadm.Client, topic, name string) (kadm.Config, error) {
	found, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return kadm.Config{}, err
	}
	resource, err := found.On(topic, nil)
	if err = first(err, resource.Err); err != nil {
		return kadm.Config{}, err
	}
	for _, config := range resource.Configs {
		if config.Key == name {
			return config, nil
		}
	}
	return kadm.Config{}, fmt.Errorf("no setting %s", name)
}

func expectSetting(ctx context.Context, admin *kadm.Client, topic, name, value string, source kmsg.ConfigSource) error {
	found, err := setting(ctx, admin, topic, name)
	return first(err, expect(found.MaybeValue() == value && found.Source == source, "%s is %s from %s", name,
		found.MaybeValue(), found.Source))
}

func adminDescribeConfigs(ctx context.Context, admin *kadm.Client) error {
	_, err := setting(ctx, admin, "admin-unknown", "flush.ms")
	return first(expectError(kerr.UnknownTopicOrPartition, err),
		expectSetting(ctx, admin, "admin-made", "retention.ms", "1234567", kmsg.ConfigSourceDynamicTopicConfig),
		expectSetting(ctx, admin, "admin-made", "segment.ms", "604800000", kmsg.ConfigSourceDefaultConfig))
}

func adminAlterConfigs(ctx context.Context, admin *kadm.Client) error {
	alter := func(topic string, changes ...kadm.AlterConfig) error {
		answers, err := admin.AlterTopicConfigs(ctx, changes, topic)
		if err != nil {
			return err
		}
		answer, err := answers.On(topic, nil)
		return first(err, answer.Err)
	}
	set := func(value string) kadm.AlterConfig {
		return kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}
	}
	policy := func(op kadm.IncrementalOp, value string) kadm.AlterConfig {
		return kadm.AlterConfig{Op: op, Name: "cleanup.policy", Value: &value}
	}
	return first(alter("admin-default", set("60000"), policy(kadm.AppendConfig, "compact")),
		expectSetting(ctx, admin, "admin-default", "retention.ms", "60000", kmsg.ConfigSourceDynamicTopicConfig),
		expectSetting(ctx, admin, "admin-default", "cleanup.policy", "delete,compact", kmsg.ConfigSourceDynamicTopicConfig),
		alter("admin-default", kadm.AlterConfig{Op: kadm.DeleteConfig, Name: "retention.ms"},
			policy(kadm.SubtractConfig, "delete")),
		expectSetting(ctx, admin, "admin-default", "retention.ms", "604800000", kmsg.ConfigSourceDefaultConfig),
		expectSetting(ctx, admin, "admin-default", "cleanup.policy", "compact", kmsg.ConfigSourceDynamicTopicConfig),
		expectError(kerr.InvalidConfig, alter("admin-default", set("soon"))),
		expectError(kerr.UnknownTopicOrPartition, alter("admin-unknown", set("1"))))
}

func adminPartitions(ctx context.Context, admin *kadm.Client) error {
	if _, err := admin.CreatePartitions(ctx, 2, "admin-made"); err != nil {
		return err
	}
	topics, err := admin.ListTopics(ctx, "admin-made")
	if err != nil {
		return err
	}
	answers, err := admin.UpdatePartitions(ctx, 3, "admin-made")
	if err != nil {
		return err
	}
	answer, err := answers.On("admin-made", nil)
	return first(err, expect(len(topics["admin-made"].Partitions) == 6, "%d partitions", len(topics["admin-made"].Partitions)),
		expectError(kerr.InvalidPartitions, answer.Err), sendAndRead(ctx, "admin-made", 5, "new"))
}

// Idempotent, as by default; into an empty partition.
func sendAndRead(ctx context.Context, topic string, partition int32, word string) error {
	producer, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer producer.Close()
	for i := 0; i < 20; i++ {
		record := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(fmt.Sprint(word, i))}
		if err := producer.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
		if record.Offset != int64(i) {
			return fmt.Errorf("offset %d of record %d of %s", record.Offset, i, word)
		}
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumePartitions(
		map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(0)}}))
	if err != nil {
		return err
	}
	defer consumer.Close()
	for read := 0; read < 20; {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			if string(record.Value) != fmt.Sprint(word, read) {
				return fmt.Errorf("%s for record %d of %s", record.Value, read, word)
			}
			read++
		}
	}
	return nil
}

func adminDelete(ctx context.Context, admin *kadm.Client) error {
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, "admin-deleted"); err != nil {
		return err
	}
	if _, err := admin.DeleteTopic(ctx, "admin-deleted"); err != nil {
		return err
	}
	_, err := admin.DeleteTopic(ctx, "admin-deleted")
	topics, listed := admin.ListTopics(ctx)
	return first(expectError(kerr.UnknownTopicOrPartition, err), listed,
		expect(!topics.Has("admin-deleted") && topics.Has("admin-made"), "topics %v", topics.Names()))
}

// The same name at once: never a record of an earlier topic.
func adminRecreate(ctx context.Context, admin *kadm.Client) error {
	for i := 0; i < recreations; i++ {
		if _, err := admin.CreateTopic(ctx, 2, 1, nil, "admin-again"); err != nil {
			return err
		}
		if err := sendAndRead(ctx, "admin-again", 1, fmt.Sprint("topic ", i, " record ")); err != nil {
			return err
		}
		if _, err := admin.DeleteTopic(ctx, "admin-again"); err != nil {
			return err
		}
	}
	return nil
}

// Until transactions are served: an error that says so, at once.
func transactionalRefused(ctx context.Context) error {
	start := time.Now()
	producer, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.TransactionalID("one"), kgo.AllowAutoTopicCreation())
	if err != nil {
		return err
	}
	defer producer.Close()
	if err = producer.BeginTransaction(); err == nil {
		err = producer.ProduceSync(ctx, &kgo.Record{Topic: "admin-made", Value: []byte("v")}).FirstErr()
	}
	fmt.Fprintln(os.Stderr, "a transaction after", time.Since(start), err)
	return first(expect(err != nil, "it was accepted"), expect(!errors.Is(err, context.DeadlineExceeded), "%v", err),
		expect(time.Since(start) < refusedIn, "refused only after %s", time.Since(start)))
}

func adminChecks() {
	check("admin-cluster", withAdmin(adminCluster))
	check("admin-create", withAdmin(adminCreate))
	check("admin-create-errors", withAdmin(adminCreateErrors))
	check("admin-describe-topics", withAdmin(adminDescribe))
	check("admin-describe-configs", withAdmin(adminDescribeConfigs))
	check("admin-alter-configs", withAdmin(adminAlterConfigs))
	check("admin-partitions", withAdmin(adminPartitions))
	check("admin-delete", withAdmin(adminDelete))
	check("admin-recreate", withAdmin(adminRecreate))
	check("transactional-refused", transactionalRefused)
}
