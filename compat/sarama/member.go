// A member of a group for compat/groups.sh, which says what it prints; and what ClusterAdmin tells of the group.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

const (
	commitEvery = 25
	commitAfter = 100 * time.Millisecond
)

func millis(name string) time.Duration {
	count, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		panic(err)
	}
	return time.Duration(count) * time.Millisecond
}

type member struct {
	name, group, topic string
	admin              sarama.ClusterAdmin
}

// Prints a line with one write.
func (of *member) say(word string, values ...any) {
	os.Stdout.WriteString(of.name + " " + word + " " + strings.TrimSuffix(fmt.Sprintln(values...), "\n") + "\n")
}

func (of *member) claims(session sarama.ConsumerGroupSession) []any {
	var all []any
	for _, partition := range session.Claims()[of.topic] {
		all = append(all, partition)
	}
	return all
}

func (of *member) Setup(session sarama.ConsumerGroupSession) error {
	of.say("assign", append([]any{session.GenerationID()}, of.claims(session)...)...)
	return nil
}

func (of *member) Cleanup(session sarama.ConsumerGroupSession) error {
	of.say("revoke", of.claims(session)...)
	return nil
}

// Commit() does not tell whether it succeeded: the coordinator is asked.
func (of *member) commit(session sarama.ConsumerGroupSession, partition int32) {
	session.Commit()
	found, err := of.admin.ListConsumerGroupOffsets(of.group, map[string][]int32{of.topic: {partition}})
	if err != nil {
		of.say("note", "not known whether committed:", err)
	} else if block := found.GetBlock(of.topic, partition); block == nil || block.Err != sarama.ErrNoError {
		of.say("note", "not known whether committed", partition)
	} else if block.Offset >= 0 {
		of.say("commit", partition, block.Offset)
	}
}

func (of *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	count := 0
	tick := time.NewTicker(commitAfter)
	defer tick.Stop()
	for {
		select {
		case message, open := <-claim.Messages():
			if open && session.Context().Err() == nil {
				of.say("read", message.Partition, message.Offset, string(message.Value))
				session.MarkMessage(message, "")
				count++
			}
			if !open || count == commitEvery {
				of.commit(session, claim.Partition())
				count = 0
			}
			if !open {
				return nil
			}
		case <-tick.C:
			if count > 0 {
				of.commit(session, claim.Partition())
				count = 0
			}
		case <-session.Context().Done():
			of.commit(session, claim.Partition())
			return nil
		}
	}
}

// range and sticky are strategies of the newest version; old is range in the versions of 2017.
func groupConfig(style string) *sarama.Config {
	settings := config(sarama.MaxVersion)
	if style == "old" {
		settings = config(sarama.V0_11_0_0)
	}
	strategy := sarama.NewBalanceStrategyRange()
	if style == "sticky" {
		strategy = sarama.NewBalanceStrategySticky()
	}
	settings.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	settings.Consumer.Group.Session.Timeout = millis("GROUP_SESSION_MS")
	settings.Consumer.Group.Heartbeat.Interval = millis("GROUP_HEARTBEAT_MS")
	settings.Consumer.Offsets.Initial = sarama.OffsetOldest
	settings.Consumer.Offsets.AutoCommit.Enable = false
	settings.Consumer.Return.Errors = true
	settings.Metadata.Retry.Max = 1000
	return settings
}

func groupMember(style, group, topic, name string) error {
	settings := groupConfig(style)
	ended := inputEnds()
	admin, err := sarama.NewClusterAdmin(bootstrap, settings)
	if err != nil {
		return err
	}
	defer admin.Close()
	consumer, err := sarama.NewConsumerGroup(bootstrap, group, settings)
	if err != nil {
		return err
	}
	of := &member{name, group, topic, admin}
	of.say("pid", os.Getpid())
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-ended
		cancel()
	}()
	go func() {
		for err := range consumer.Errors() {
			of.say("note", strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}()
	for ctx.Err() == nil {
		if err := consumer.Consume(ctx, []string{topic}, of); err != nil && ctx.Err() == nil {
			of.say("note", strings.ReplaceAll(err.Error(), "\n", " "))
			time.Sleep(commitAfter) // the library leaves it to us when it tries again
		}
	}
	return consumer.Close()
}

// The ends that compat/groups.sh writes to the standard input.
func committedEnds() (map[int32]int64, error) {
	ends := map[int32]int64{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var partition int32
		var offset int64
		if _, err := fmt.Sscan(lines.Text(), &partition, &offset); err != nil {
			return nil, err
		}
		ends[partition] = offset
	}
	return ends, nil
}

func groupAdmin(when, style, group, topic, count string) error {
	ends, err := committedEnds()
	if err != nil {
		return err
	}
	admin, err := sarama.NewClusterAdmin(bootstrap, config(sarama.MaxVersion))
	if err != nil {
		return err
	}
	defer admin.Close()
	if when == "live" {
		members, _ := strconv.Atoi(count)
		check(style+"-admin-live", func() error { return adminLive(admin, group, topic, members) })
		return nil
	}
	check(style+"-admin-offsets", func() error { return adminOffsets(admin, group, topic, ends) })
	check(style+"-admin-delete", func() error { return adminDeleteGroup(admin, group, topic) })
	return nil
}

func adminLive(admin sarama.ClusterAdmin, group, topic string, members int) error {
	described, err := admin.DescribeConsumerGroups([]string{group})
	if err != nil {
		return err
	}
	held := map[int32]int{}
	for _, one := range described[0].Members {
		assignment, err := one.GetMemberAssignment()
		if err != nil {
			return err
		}
		for _, partition := range assignment.Topics[topic] {
			held[partition]++
		}
	}
	if described[0].State != "Stable" || len(described[0].Members) != members || len(held) != 6 {
		return fmt.Errorf("%s with %d members, partitions %v", described[0].State, len(described[0].Members), held)
	}
	if listed, err := admin.ListConsumerGroups(); err != nil || listed[group] != "consumer" {
		return fmt.Errorf("listed: %v, %v", listed, err)
	}
	if err := admin.DeleteConsumerGroup(group); !errors.Is(err, sarama.ErrNonEmptyGroup) {
		return fmt.Errorf("deleting it: %v", err)
	}
	if err := admin.DeleteConsumerGroupOffset(group, topic, 0); !errors.Is(err, sarama.ErrGroupSubscribedToTopic) {
		return fmt.Errorf("deleting an offset: %v", err)
	}
	return nil
}

func adminOffsets(admin sarama.ClusterAdmin, group, topic string, ends map[int32]int64) error {
	found, err := admin.ListConsumerGroupOffsets(group, nil)
	if err != nil {
		return err
	}
	if len(ends) == 0 || len(found.Blocks[topic]) != len(ends) {
		return fmt.Errorf("offsets of %d partitions", len(found.Blocks[topic]))
	}
	for partition, end := range ends {
		if block := found.GetBlock(topic, partition); block.Offset != end {
			return fmt.Errorf("partition %d: %d is committed, not %d", partition, block.Offset, end)
		}
	}
	described, err := admin.DescribeConsumerGroups([]string{group})
	if err == nil && described[0].State != "Empty" {
		err = errors.New(described[0].State)
	}
	return err
}

func adminDeleteGroup(admin sarama.ClusterAdmin, group, topic string) error {
	if err := admin.DeleteConsumerGroupOffset(group, topic, 0); err != nil {
		return err
	}
	found, err := admin.ListConsumerGroupOffsets(group, nil)
	if err != nil || len(found.Blocks[topic]) != 5 {
		return fmt.Errorf("after deleting one: %v %v", found, err)
	}
	if err := admin.DeleteConsumerGroup(group); err != nil {
		return err
	}
	if listed, err := admin.ListConsumerGroups(); err != nil || listed[group] != "" {
		return fmt.Errorf("still listed: %v, %v", listed, err)
	}
	if err := admin.DeleteConsumerGroup(group); !errors.Is(err, sarama.ErrGroupIDNotFound) {
		return fmt.Errorf("deleting it again: %v", err)
	}
	return nil
}
