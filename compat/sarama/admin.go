// sarama's ClusterAdmin: topics made, described, changed, deleted and made again; a transactional producer.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"
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

func expectError(expected sarama.KError, err error) error {
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

func withAdmin(body func(sarama.ClusterAdmin) error) func() error {
	return func() error {
		admin, err := sarama.NewClusterAdmin(bootstrap, config(sarama.MaxVersion))
		if err != nil {
			return err
		}
		defer admin.Close()
		return body(admin)
	}
}

func adminCluster(admin sarama.ClusterAdmin) error {
	brokers, controller, err := admin.DescribeCluster()
	if err != nil {
		return err
	}
	return expect(len(brokers) == 1 && brokers[0].Addr() == bootstrap[0] && brokers[0].ID() == controller, "%v", brokers)
}

func adminCreate(admin sarama.ClusterAdmin) error {
	brokers, _, err := admin.DescribeCluster()
	if err != nil {
		return err
	}
	id := brokers[0].ID()
	if err := first(admin.CreateTopic("admin-made", &sarama.TopicDetail{NumPartitions: 4, ReplicationFactor: 1,
		ConfigEntries: map[string]*string{"retention.ms": text("1234567")}}, false),
		admin.CreateTopic("admin-default", &sarama.TopicDetail{NumPartitions: -1, ReplicationFactor: -1}, false),
		admin.CreateTopic("admin-assigned", &sarama.TopicDetail{NumPartitions: -1, ReplicationFactor: -1,
			ReplicaAssignment: map[int32][]int32{0: {id}, 1: {id}}}, false),
		admin.CreateTopic("admin-not-made", &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, true)); err != nil {
		return err
	}
	return first(expectPartitions(admin, "admin-made", 4), expectPartitions(admin, "admin-default", 3),
		expectPartitions(admin, "admin-assigned", 2), expectPartitions(admin, "admin-not-made", 0))
}

// Apache Kafka's brokers know a topic a moment after the controller's answer.
func expectPartitions(admin sarama.ClusterAdmin, name string, count int32) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		topics, err := admin.ListTopics()
		if err != nil || topics[name].NumPartitions == count || time.Now().After(deadline) {
			return first(err, expect(topics[name].NumPartitions == count, "%s has %d partitions", name,
				topics[name].NumPartitions))
		}
	}
}

func adminCreateErrors(admin sarama.ClusterAdmin) error {
	create := func(name string, partitions int32, replication int16, settings map[string]*string) error {
		return admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: replication,
			ConfigEntries: settings}, false)
	}
	return first(create("admin.dotted", 1, 1, nil),
		expectError(sarama.ErrTopicAlreadyExists, create("admin-made", 1, 1, nil)),
		expectError(sarama.ErrInvalidTopic, create("admin_dotted", 1, 1, nil)),
		expectError(sarama.ErrInvalidTopic, create("a b", 1, 1, nil)),
		expectError(sarama.ErrInvalidPartitions, create("admin-bad", 0, 1, nil)),
		expectError(sarama.ErrInvalidReplicationFactor, create("admin-bad", 1, 3, nil)),
		expectError(sarama.ErrInvalidConfig, create("admin-bad", 1, 1, map[string]*string{"retention.ms": text("soon")})))
}

func adminDescribe(admin sarama.ClusterAdmin) error {
	topics, err := admin.DescribeTopics([]string{"admin-made"})
	if err != nil {
		return err
	}
	if err := expect(topics[0].Err == sarama.ErrNoError && len(topics[0].Partitions) == 4, "%v", topics[0]); err != nil {
		return err
	}
	unknown, err := admin.DescribeTopics([]string{"admin-unknown"})
	return first(err, expect(unknown[0].Err == sarama.ErrUnknownTopicOrPartition, "%v", unknown[0].Err))
}

func expectSetting(admin sarama.ClusterAdmin, topic, name, value string, source sarama.ConfigSource) error {
	entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name == name {
			return expect(entry.Value == value && entry.Source == source, "%s is %s from %s", name, entry.Value, entry.Source)
		}
	}
	return fmt.Errorf("no setting %s", name)
}

func adminDescribeConfigs(admin sarama.ClusterAdmin) error {
	_, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: "admin-unknown"})
	return first(expect(err != nil, "an unknown topic was described"),
		expectSetting(admin, "admin-made", "retention.ms", "1234567", sarama.SourceTopic),
		expectSetting(admin, "admin-made", "segment.ms", "604800000", sarama.SourceDefault))
}

func adminAlterConfigs(admin sarama.ClusterAdmin) error {
	alter := func(topic string, entries map[string]sarama.IncrementalAlterConfigsEntry) error {
		return admin.IncrementalAlterConfig(sarama.TopicResource, topic, entries, false)
	}
	entry := func(operation sarama.IncrementalAlterConfigsOperation, value string) sarama.IncrementalAlterConfigsEntry {
		return sarama.IncrementalAlterConfigsEntry{Operation: operation, Value: &value}
	}
	set := func(value string) map[string]sarama.IncrementalAlterConfigsEntry {
		return map[string]sarama.IncrementalAlterConfigsEntry{
			"retention.ms": entry(sarama.IncrementalAlterConfigsOperationSet, value)}
	}
	return first(alter("admin-default", map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms":   entry(sarama.IncrementalAlterConfigsOperationSet, "60000"),
		"cleanup.policy": entry(sarama.IncrementalAlterConfigsOperationAppend, "compact")}),
		expectSetting(admin, "admin-default", "retention.ms", "60000", sarama.SourceTopic),
		expectSetting(admin, "admin-default", "cleanup.policy", "delete,compact", sarama.SourceTopic),
		alter("admin-default", map[string]sarama.IncrementalAlterConfigsEntry{
			"retention.ms":   entry(sarama.IncrementalAlterConfigsOperationDelete, ""),
			"cleanup.policy": entry(sarama.IncrementalAlterConfigsOperationSubtract, "delete")}),
		expectSetting(admin, "admin-default", "retention.ms", "604800000", sarama.SourceDefault),
		expectSetting(admin, "admin-default", "cleanup.policy", "compact", sarama.SourceTopic),
		expect(alter("admin-default", set("soon")) != nil, "a bad value was taken"),
		expect(alter("admin-unknown", set("1")) != nil, "an unknown topic was altered"))
}

func adminPartitions(admin sarama.ClusterAdmin) error {
	if err := admin.CreatePartitions("admin-made", 6, nil, false); err != nil {
		return err
	}
	topics, err := admin.DescribeTopics([]string{"admin-made"})
	return first(err, expect(len(topics[0].Partitions) == 6, "%d partitions", len(topics[0].Partitions)),
		expectError(sarama.ErrInvalidPartitions, admin.CreatePartitions("admin-made", 2, nil, false)),
		expectError(sarama.ErrUnknownTopicOrPartition, admin.CreatePartitions("admin-unknown", 2, nil, false)),
		sendAndRead("admin-made", 5, "new"))
}

// Idempotent; into an empty partition.
func sendAndRead(topic string, partition int32, word string) error {
	producer, err := sarama.NewSyncProducer(bootstrap, idempotent())
	if err != nil {
		return err
	}
	defer producer.Close()
	for i := 0; i < 20; i++ {
		_, offset, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Partition: partition,
			Value: sarama.StringEncoder(fmt.Sprint(word, i))})
		if err = first(err, expect(offset == int64(i), "offset %d of record %d of %s", offset, i, word)); err != nil {
			return err
		}
	}
	consumer, err := sarama.NewConsumer(bootstrap, config(sarama.MaxVersion))
	if err != nil {
		return err
	}
	defer consumer.Close()
	reader, err := consumer.ConsumePartition(topic, partition, 0)
	if err != nil {
		return err
	}
	defer reader.Close()
	deadline := time.After(timeout)
	for i := 0; i < 20; i++ {
		select {
		case message := <-reader.Messages():
			if string(message.Value) != fmt.Sprint(word, i) {
				return fmt.Errorf("%s for record %d of %s", message.Value, i, word)
			}
		case <-deadline:
			return fmt.Errorf("only %d records came", i)
		}
	}
	return nil
}

func adminDelete(admin sarama.ClusterAdmin) error {
	if err := first(admin.CreateTopic("admin-deleted", &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false),
		admin.DeleteTopic("admin-deleted")); err != nil {
		return err
	}
	topics, err := admin.ListTopics()
	_, there := topics["admin-deleted"]
	return first(err, expect(!there, "it is still listed"),
		expectError(sarama.ErrUnknownTopicOrPartition, admin.DeleteTopic("admin-deleted")))
}

// The same name at once: never a record of an earlier topic.
func adminRecreate(admin sarama.ClusterAdmin) error {
	for i := 0; i < recreations; i++ {
		if err := first(admin.CreateTopic("admin-again", &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false),
			sendAndRead("admin-again", 1, fmt.Sprint("topic ", i, " record ")), admin.DeleteTopic("admin-again")); err != nil {
			return err
		}
	}
	return nil
}

// Until transactions are served: an error that says so, at once.
func transactionalRefused() error {
	start := time.Now()
	settings := idempotent()
	settings.Producer.Transaction.ID = "one"
	settings.Metadata.Retry.Max = 3 // as by default; it also bounds the search for a coordinator
	producer, err := sarama.NewSyncProducer(bootstrap, settings)
	if err == nil {
		defer producer.Close()
	}
	fmt.Fprintln(os.Stderr, "a transactional producer after", time.Since(start), err)
	return first(expect(err != nil, "it was accepted"),
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
