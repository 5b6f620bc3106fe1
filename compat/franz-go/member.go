// A member of a group for compat/groups.sh, which says what it prints; and what the admin package tells of the group.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func millis(name string) time.Duration {
	count, err := strconv.Atoi(os.Getenv(name))
	if err != nil {
		panic(err)
	}
	return time.Duration(count) * time.Millisecond
}

// Prints a line with one write.
func say(name, word string, values ...any) {
	os.Stdout.WriteString(name + " " + word + " " + strings.TrimSuffix(fmt.Sprintln(values...), "\n") + "\n")
}

func numbers(partitions map[string][]int32) []any {
	var all []any
	for _, of := range partitions {
		for _, partition := range of {
			all = append(all, partition)
		}
	}
	return all
}

// What a commit may be told while the group moves on: somebody reads these records again.
func moved(err error) bool {
	for _, known := range []error{kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.RebalanceInProgress,
		kerr.StaleMemberEpoch, kerr.FencedMemberEpoch} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func balancer(style string) []kgo.Opt {
	switch style {
	case "range":
		return []kgo.Opt{kgo.Balancers(kgo.RangeBalancer())}
	case "cooperative":
		return []kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer())}
	}
	return []kgo.Opt{kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer()}
}

func groupMember(style, group, topic, name string) error {
	ended := inputEnds()
	consumer, err := kgo.NewClient(append(balancer(style), kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.RetryBackoffFn(func(int) time.Duration { return 250 * time.Millisecond }), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(200*time.Millisecond),
		kgo.SessionTimeout(millis("GROUP_SESSION_MS")), kgo.HeartbeatInterval(millis("GROUP_HEARTBEAT_MS")),
		kgo.OnPartitionsAssigned(func(_ context.Context, client *kgo.Client, added map[string][]int32) {
			_, generation := client.GroupMetadata()
			say(name, "assign", append([]any{generation}, numbers(added)...)...)
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
			say(name, "revoke", numbers(revoked)...)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
			say(name, "lost", numbers(lost)...)
		}))...)
	if err != nil {
		return err
	}
	say(name, "pid", os.Getpid())
	for ended.Err() == nil {
		fetches := consumer.PollFetches(ended)
		fetches.EachError(func(_ string, partition int32, err error) {
			if !errors.Is(err, context.Canceled) {
				say(name, "note", partition, strings.ReplaceAll(err.Error(), "\n", " "))
			}
		})
		ends := map[int32]int64{}
		fetches.EachRecord(func(record *kgo.Record) {
			say(name, "read", record.Partition, record.Offset, string(record.Value))
			ends[record.Partition] = record.Offset + 1
		})
		if len(ends) > 0 {
			switch err := consumer.CommitRecords(context.Background(), fetches.Records()...); {
			case err == nil:
				for partition, offset := range ends {
					say(name, "commit", partition, offset)
				}
			case moved(err):
				say(name, "note", "not committed:", err)
			default:
				say(name, "failed", "commit:", err)
			}
		}
		consumer.AllowRebalance()
	}
	consumer.CloseAllowingRebalance()
	return nil
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
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if when == "live" {
		members, _ := strconv.Atoi(count)
		check(style+"-admin-live", func(ctx context.Context) error { return adminLive(ctx, admin, style, group, members) })
		check(style+"-admin-busy", func(ctx context.Context) error { return adminBusy(ctx, admin, group, topic) })
		return nil
	}
	check(style+"-admin-offsets", func(ctx context.Context) error { return adminOffsets(ctx, admin, style, group, topic, ends) })
	check(style+"-admin-delete", func(ctx context.Context) error { return adminDeleteGroup(ctx, admin, group, topic) })
	return nil
}

// Each partition is with one of so many members; returns the state.
func assignedTo(ctx context.Context, admin *kadm.Client, style, group string) (string, map[int32]int, int, error) {
	held := map[int32]int{}
	if style == "consumer" {
		described, err := admin.DescribeConsumerGroups(ctx, group)
		if err != nil {
			return "", nil, 0, err
		}
		of := described[group]
		for _, member := range of.Members {
			for _, partitions := range member.Assignment {
				for partition := range partitions {
					held[partition]++
				}
			}
		}
		return of.State, held, len(of.Members), of.Err
	}
	described, err := admin.DescribeGroups(ctx, group)
	if err != nil {
		return "", nil, 0, err
	}
	of := described[group]
	for _, member := range of.Members {
		assignment, _ := member.Assigned.AsConsumer()
		for _, topics := range assignment.Topics {
			for _, partition := range topics.Partitions {
				held[partition]++
			}
		}
	}
	return of.State, held, len(of.Members), of.Err
}

func adminLive(ctx context.Context, admin *kadm.Client, style, group string, members int) error {
	state, held, count, err := assignedTo(ctx, admin, style, group)
	if err != nil {
		return err
	}
	if state != "Stable" || count != members || len(held) != 6 || slices.Max(slices.Collect(maps.Values(held))) != 1 {
		return fmt.Errorf("%s with %d members, partitions %v", state, count, held)
	}
	listed, err := admin.ListGroups(ctx, "Stable")
	if err != nil {
		return err
	}
	if _, found := listed[group]; !found {
		return fmt.Errorf("not among %v", listed.Groups())
	}
	return nil
}

func adminBusy(ctx context.Context, admin *kadm.Client, group, topic string) error {
	if _, err := admin.DeleteGroup(ctx, group); !errors.Is(err, kerr.NonEmptyGroup) {
		return fmt.Errorf("deleting it: %v", err)
	}
	var of kadm.TopicsSet
	of.Add(topic, 0)
	deleted, err := admin.DeleteOffsets(ctx, group, of)
	if err != nil {
		return err
	}
	if err, _ := deleted.Lookup(topic, 0); !errors.Is(err, kerr.GroupSubscribedToTopic) {
		return fmt.Errorf("deleting an offset: %v", err)
	}
	return nil
}

func adminOffsets(ctx context.Context, admin *kadm.Client, style, group, topic string, ends map[int32]int64) error {
	state, _, _, err := assignedTo(ctx, admin, style, group)
	if err != nil {
		return err
	}
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	if state != "Empty" || len(ends) == 0 || len(committed[topic]) != len(ends) {
		return fmt.Errorf("%s, offsets of %d partitions", state, len(committed[topic]))
	}
	for partition, end := range ends {
		if of, _ := committed.Lookup(topic, partition); of.At != end {
			return fmt.Errorf("partition %d: %d is committed, not %d", partition, of.At, end)
		}
	}
	if style == "consumer" { // Lag() describes classic groups alone
		return nil
	}
	lags, err := admin.Lag(ctx, group)
	if err != nil {
		return err
	}
	of := lags[group]
	if err := of.Error(); err != nil || of.Lag.Total() != 0 {
		return fmt.Errorf("lag %d: %v", of.Lag.Total(), err)
	}
	return nil
}

func adminDeleteGroup(ctx context.Context, admin *kadm.Client, group, topic string) error {
	var of kadm.TopicsSet
	of.Add(topic, 0)
	if _, err := admin.DeleteOffsets(ctx, group, of); err != nil {
		return err
	}
	offsets, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	if _, found := offsets.Lookup(topic, 0); found || len(offsets[topic]) != 5 {
		return fmt.Errorf("after deleting one: %d offsets", len(offsets[topic]))
	}
	if _, err := admin.DeleteGroup(ctx, group); err != nil {
		return err
	}
	listed, err := admin.ListGroups(ctx)
	if err != nil {
		return err
	}
	if _, found := listed[group]; found {
		return errors.New("it is still listed")
	}
	if _, err := admin.DeleteGroup(ctx, group); !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("deleting it again: %v", err)
	}
	return nil
}
