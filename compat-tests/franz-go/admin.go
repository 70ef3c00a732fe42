package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsets commits and fetches as an administrator does, without a member.
func offsets(s *session) {
	topic, group := s.topic("offsets", 2), s.name+"-group"
	admin := s.admin()
	defer admin.Close()

	wanted := kadm.Offsets{}
	wanted.Add(kadm.Offset{Topic: topic, Partition: 0, At: 5, LeaderEpoch: -1, Metadata: "a note"})
	wanted.Add(kadm.Offset{Topic: topic, Partition: 1, At: 0, LeaderEpoch: 0})
	saw("commit", errorName(got(admin.CommitOffsets(s.ctx, group, wanted)).Error()))

	fetched := got(admin.FetchOffsets(s.ctx, group))
	zero, one := fetched[topic][0], fetched[topic][1]
	saw("partition 0", []any{zero.At, zero.LeaderEpoch, zero.Metadata})
	saw("partition 1", []any{one.At, one.LeaderEpoch, one.Metadata})

	none := got(admin.FetchOffsetsForTopics(s.ctx, s.name+"-no-group", topic))
	saw("of a group that has none", none[topic][0].At)
	many := admin.FetchManyOffsets(s.ctx, group, s.name+"-no-group")
	saw("of two groups at once", []int{len(many[group].Fetched[topic]), len(many[s.name+"-no-group"].Fetched)})

	absent := kadm.Offsets{}
	absent.AddOffset(s.name+"-absent", 0, 1, -1)
	absent.AddOffset(topic, 7, 1, -1)
	refused := got(admin.CommitOffsets(s.ctx, group, absent))
	saw("commit for an absent topic", errorName(refused[s.name+"-absent"][0].Err))
	saw("commit for an absent partition", errorName(refused[topic][7].Err))

	deleted := got(admin.DeleteOffsets(s.ctx, group, kadm.TopicsSet{topic: {0: {}}}))
	saw("delete", errorName(deleted[topic][0]))
	rest := got(admin.FetchOffsets(s.ctx, group))
	_, hasZero := rest[topic][0]
	saw("left after the delete", []any{hasZero, rest[topic][1].At})
}

// lag compares committed offsets with the ends of the log, for a group with a member and one without.
func lag(s *session) {
	topic, group := s.topic("lag", 2), s.name+"-group"
	s.produce(topic, 0, "0", "1", "2", "3", "4")
	s.produce(topic, 1, "0", "1", "2")
	admin := s.admin()
	defer admin.Close()
	committed := kadm.Offsets{}
	committed.AddOffset(topic, 0, 2, -1)
	committed.AddOffset(topic, 1, 3, -1)
	must(admin.CommitAllOffsets(s.ctx, group, committed))

	idle := got(admin.Lag(s.ctx, group))[group]
	must(idle.Error())
	saw("without a member", []any{idle.State, idle.Lag[topic][0].Lag, idle.Lag[topic][1].Lag, idle.Lag.Total()})

	consumed := &journal{values: map[int32][]string{}}
	m := s.join(group, topic, "member", consumed)
	s.until("lag of 0", func() bool {
		lags, err := admin.Lag(s.ctx, group)
		return err == nil && lags[group].State == "Stable" && lags[group].Lag.Total() == 0
	})
	active := got(admin.Lag(s.ctx, group))[group]
	saw("with a member", []any{active.State, active.Lag[topic][0].Member.ClientID, active.Lag.Total()})
	m.leave()
	saw("consumed from the committed offsets", consumed.values)
}

// groups lists, describes and deletes groups in every state.
func groups(s *session) {
	topic := s.topic("groups", 1)
	active, empty, absent := s.name+"-active", s.name+"-empty", s.name+"-absent"
	admin := s.admin()
	defer admin.Close()
	committed := kadm.Offsets{}
	committed.AddOffset(topic, 0, 0, -1)
	must(admin.CommitAllOffsets(s.ctx, empty, committed))
	m := s.join(active, topic, "member", &journal{values: map[int32][]string{}})
	s.owns([]*member{m}, 1)
	s.until("stable group", func() bool { return got(admin.DescribeGroups(s.ctx, active))[active].State == "Stable" })

	listed := got(admin.ListGroups(s.ctx))
	saw("listed", map[string][]string{
		"active": {listed[active].State, listed[active].ProtocolType},
		"empty":  {listed[empty].State, listed[empty].ProtocolType},
	})
	stable := got(admin.ListGroups(s.ctx, "Stable"))
	_, hasActive := stable[active]
	_, hasEmpty := stable[empty]
	saw("listed as stable", []bool{hasActive, hasEmpty})

	described := admin.FindGroupCoordinators(s.ctx, active)[active]
	saw("coordinator", []any{errorName(described.Err), described.NodeID})
	all, err := admin.DescribeGroups(s.ctx, active, empty, absent)
	saw("described", map[string][]string{
		"request": {errorName(err)},
		"active":  {all[active].State, errorName(all[active].Err)},
		"empty":   {all[empty].State, errorName(all[empty].Err)},
		"absent":  {all[absent].State, errorName(all[absent].Err)},
	})

	// kadm reports the first error of several groups, and all of them in the answer.
	first, _ := admin.DeleteGroups(s.ctx, active, empty, absent)
	saw("deleted", map[string]string{
		"active": errorName(first[active].Err),
		"empty":  errorName(first[empty].Err),
		"absent": errorName(first[absent].Err),
	})
	used := got(admin.DeleteOffsets(s.ctx, active, kadm.TopicsSet{topic: {0: {}}}))
	saw("offsets deleted of a topic in use", errorName(used[topic][0]))
	m.leave()
	saw("deleted when empty", errorName(got(admin.DeleteGroup(s.ctx, active)).Err))
	_, isListed := got(admin.ListGroups(s.ctx))[active]
	saw("listed after that", isListed)
}

// topics creates, grows, lists and deletes topics, well and wrongly.
func topics(s *session) {
	admin := s.admin()
	defer admin.Close()
	topic := s.name + "-topic"
	create := func(partitions int32, replicas int16, configs map[string]*string, topic string) string {
		answer, err := admin.CreateTopics(s.ctx, partitions, replicas, configs, topic)
		must(err)
		return errorName(answer[topic].Err)
	}
	validated := got(admin.ValidateCreateTopics(s.ctx, 1, 1, nil, topic))
	saw("validate only", errorName(validated[topic].Err))
	short := map[string]*string{"retention.ms": kadm.StringPtr("1000")}
	created := got(admin.CreateTopics(s.ctx, 3, 1, short, topic))[topic]
	saw("create", []any{
		errorName(created.Err), created.NumPartitions, created.ReplicationFactor, *created.Configs["retention.ms"].Value,
	})
	saw("with defaults", create(-1, -1, nil, s.name+"-defaults"))
	saw("again", create(1, 1, nil, topic))
	saw("with 0 partitions", create(0, 1, nil, s.name+"-none"))
	saw("with 3 replicas", create(1, 3, nil, s.name+"-replicated"))
	saw("with an invalid name", create(1, 1, nil, "not/valid"))
	unknown := map[string]*string{"no.such.setting": kadm.StringPtr("1")}
	saw("with an unknown setting", create(1, 1, unknown, s.name+"-setting"))

	s.visible(admin, topic)
	listed := got(admin.ListTopics(s.ctx, topic))[topic]
	saw("listed", []any{len(listed.Partitions), listed.ID == created.ID, listed.IsInternal, listed.Partitions[0].Replicas})

	grown := func(answers kadm.CreatePartitionsResponses, err error) string {
		must(err)
		return errorName(answers[topic].Err)
	}
	saw("two partitions more", grown(admin.CreatePartitions(s.ctx, 2, topic)))
	count := func() int { return len(got(admin.ListTopics(s.ctx, topic))[topic].Partitions) }
	s.until("more partitions", func() bool { return count() == 5 })
	saw("fewer partitions", grown(admin.UpdatePartitions(s.ctx, 2, topic)))
	saw("the same number", grown(admin.UpdatePartitions(s.ctx, 5, topic)))
	saw("partitions", count())

	deleted := got(admin.DeleteTopics(s.ctx, topic, s.name+"-absent"))
	saw("delete", []string{errorName(deleted[topic].Err), errorName(deleted[s.name+"-absent"].Err)})
	s.until("deleted topic", func() bool {
		answer := got(admin.ListTopics(s.ctx, topic))[topic]
		return errorName(answer.Err) == "UNKNOWN_TOPIC_OR_PARTITION"
	})
	recreated := got(admin.CreateTopics(s.ctx, 1, 1, nil, topic))[topic]
	saw("created again", []any{errorName(recreated.Err), recreated.ID != created.ID})
}

// configs reads and changes settings of topics and of the broker.
func configs(s *session) {
	admin := s.admin()
	defer admin.Close()
	topic := s.topic("configs", 1)
	describe := func(keys ...string) map[string]string {
		seen := map[string]string{}
		for _, config := range got(admin.DescribeTopicConfigs(s.ctx, topic))[0].Configs {
			if slices.Contains(keys, config.Key) {
				seen[config.Key] = fmt.Sprint(config.MaybeValue(), " ", config.Source)
			}
		}
		return seen
	}
	all := func() map[string]string { return describe("retention.ms", "cleanup.policy", "segment.bytes") }
	alter := func(alter kadm.AlterConfig) string {
		answer, err := got(admin.AlterTopicConfigs(s.ctx, []kadm.AlterConfig{alter}, topic)).On(topic, nil)
		must(err)
		return errorName(answer.Err)
	}
	// Returns what is seen after a change, of which a broker of a cluster learns a moment after the answer.
	after := func(change func() string) []any {
		before := all()
		answer := change()
		s.until("change", func() bool { return !maps.Equal(all(), before) })
		return []any{answer, all()}
	}
	saw("default", all())
	for _, each := range []struct {
		name  string
		alter kadm.AlterConfig
	}{
		{"set", kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("5000")}},
		{"append", kadm.AlterConfig{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")}},
		{"subtract", kadm.AlterConfig{Op: kadm.SubtractConfig, Name: "cleanup.policy", Value: kadm.StringPtr("delete")}},
		{"delete", kadm.AlterConfig{Op: kadm.DeleteConfig, Name: "retention.ms"}},
	} {
		saw(each.name, after(func() string { return alter(each.alter) }))
	}
	saw("refused", []string{
		alter(kadm.AlterConfig{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("soon")}),
		alter(kadm.AlterConfig{Op: kadm.SetConfig, Name: "no.such.setting", Value: kadm.StringPtr("1")}),
		alter(kadm.AlterConfig{Op: kadm.AppendConfig, Name: "retention.ms", Value: kadm.StringPtr("1")}),
	})
	saw("replace", after(func() string {
		wanted := []kadm.AlterConfig{{Name: "segment.bytes", Value: kadm.StringPtr("1048576")}}
		return errorName(got(admin.AlterTopicConfigsState(s.ctx, wanted, topic))[0].Err)
	}))
	absent := got(admin.DescribeTopicConfigs(s.ctx, s.name+"-absent"))
	saw("of an absent topic", errorName(absent[0].Err))

	broker := got(admin.BrokerMetadata(s.ctx)).Brokers[0].NodeID
	seen := map[string]string{}
	wanted := []string{"log.retention.ms", "auto.create.topics.enable", "offsets.topic.num.partitions"}
	for _, config := range got(admin.DescribeBrokerConfigs(s.ctx, broker))[0].Configs {
		if slices.Contains(wanted, config.Key) {
			seen[config.Key] = fmt.Sprint(config.MaybeValue(), " ", config.Source)
		}
	}
	saw("of the broker", seen)
}

// listOffsets asks for offsets by every kind of place and time.
func listOffsets(s *session) {
	topic := s.topic("listed", 2)
	admin := s.admin()
	defer admin.Close()
	producer := s.client(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer producer.Close()
	for i, second := range []int64{10, 20, 50, 40, 30} {
		record := kgo.StringRecord(fmt.Sprint(i))
		record.Timestamp = time.UnixMilli(1_000_000 + second*1000)
		must(producer.ProduceSync(s.ctx, record).FirstErr())
	}
	at := func(answers kadm.ListedOffsets, err error) map[string][]int64 {
		must(err)
		seen := map[string][]int64{}
		answers.Each(func(answer kadm.ListedOffset) {
			must(answer.Err)
			seen[fmt.Sprint(answer.Partition)] = []int64{answer.Offset, answer.Timestamp, int64(answer.LeaderEpoch)}
		})
		return seen
	}
	saw("start", at(admin.ListStartOffsets(s.ctx, topic)))
	saw("end", at(admin.ListEndOffsets(s.ctx, topic)))
	saw("committed", at(admin.ListCommittedOffsets(s.ctx, topic)))
	saw("after a time between two records", at(admin.ListOffsetsAfterMilli(s.ctx, 1_015_000, topic)))
	saw("after the exact time of a record", at(admin.ListOffsetsAfterMilli(s.ctx, 1_050_000, topic)))
	saw("after the last", at(admin.ListOffsetsAfterMilli(s.ctx, 1_050_001, topic)))
	saw("of the largest timestamp", at(admin.ListMaxTimestampOffsets(s.ctx, topic)))

	absent, err := admin.ListEndOffsets(s.ctx, s.name+"-absent")
	must(err)
	missing, _ := absent.Lookup(s.name+"-absent", -1)
	saw("of an absent topic", errorName(missing.Err))

	request := kadm.OffsetForLeaderEpochRequest{}
	request.Add(topic, 0, 0)
	epoch := got(admin.OffsetForLeaderEpoch(s.ctx, request))[topic][0]
	saw("end of leader epoch 0", []any{errorName(epoch.Err), epoch.LeaderEpoch, epoch.EndOffset})
}

// deleteRecords moves the start of a log.
func deleteRecords(s *session) {
	topic := s.topic("deleted", 2)
	s.produce(topic, 0, "0", "1", "2", "3", "4", "5", "6", "7")
	admin := s.admin()
	defer admin.Close()
	remove := func(partition int32, before int64) []any {
		wanted := kadm.Offsets{}
		wanted.AddOffset(topic, partition, before, -1)
		answer := got(admin.DeleteRecords(s.ctx, wanted))[topic][partition]
		return []any{errorName(answer.Err), answer.LowWatermark}
	}
	saw("before 5", remove(0, 5))
	saw("before 5 again", remove(0, 5))
	saw("before 3, which are gone", remove(0, 3))
	saw("beyond the end", remove(0, 9))
	start, _ := got(admin.ListStartOffsets(s.ctx, topic)).Lookup(topic, 0)
	saw("start", start.Offset)
	old := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(1)}}
	consumer := s.client(kgo.ConsumePartitions(old), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer consumer.Close()
	saw("consumed from 1", valuesOf(s.take(consumer, 3)))
	saw("all", remove(0, -1))
}

// cluster asks what the cluster is made of.
func cluster(s *session) {
	topic := s.topic("cluster", 2)
	s.produce(topic, 0, "0", "1", "2")
	admin := s.admin()
	defer admin.Close()
	metadata := got(admin.BrokerMetadata(s.ctx))
	saw("metadata", []any{len(metadata.Brokers), metadata.Controller == metadata.Brokers[0].NodeID, len(metadata.Cluster)})

	versions := got(admin.ApiVersions(s.ctx))[metadata.Brokers[0].NodeID]
	ranges := map[string][]int16{}
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.ApiVersions} {
		least, _ := versions.KeyMinVersion(key.Int16())
		most, _ := versions.KeyMaxVersion(key.Int16())
		ranges[key.Name()] = []int16{least, most}
	}
	saw("versions", ranges)
	_, hasTelemetry := versions.KeyMaxVersion(kmsg.GetTelemetrySubscriptions.Int16())
	saw("telemetry", hasTelemetry)

	dirs := got(admin.DescribeAllLogDirs(s.ctx, kadm.TopicsSet{topic: {0: {}, 1: {}}}))
	sizes, partitions := 0, 0
	dirs.Each(func(dir kadm.DescribedLogDir) {
		must(dir.Err)
		sizes += int(dir.Size())
		partitions += len(dir.Topics[topic])
	})
	saw("log directories", []any{partitions, sizes > 0})

	moving := got(admin.ListPartitionReassignments(s.ctx, kadm.TopicsSet{topic: {0: {}}}))
	saw("reassignments", len(moving.Sorted()))
}
