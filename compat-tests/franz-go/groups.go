package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// journal is what all members of a group have consumed, per partition in the order in which they consumed it.
type journal struct {
	mutex  sync.Mutex
	values map[int32][]string
}

// member is one consumer of a group with a loop of its own. It commits what it has processed before it lets a rebalance
// go on, so nothing is consumed twice.
type member struct {
	client  *kgo.Client
	mutex   sync.Mutex
	owned   map[int32]bool
	revoked []int
	stop    context.CancelFunc
	ended   chan struct{}
}

func (s *session) join(group, topic, clientId string, into *journal, options ...kgo.Opt) *member {
	running, stop := context.WithCancel(s.ctx)
	m := &member{owned: map[int32]bool{}, stop: stop, ended: make(chan struct{})}
	remove := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
		m.mutex.Lock()
		defer m.mutex.Unlock()
		for _, partition := range lost[topic] {
			delete(m.owned, partition)
		}
		if len(lost[topic]) > 0 {
			m.revoked = append(m.revoked, len(lost[topic]))
		}
	}
	m.client = s.client(append([]kgo.Opt{
		kgo.ClientID(clientId),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.HeartbeatInterval(100 * time.Millisecond),
		kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) {
			m.mutex.Lock()
			defer m.mutex.Unlock()
			for _, partition := range added[topic] {
				m.owned[partition] = true
			}
		}),
		kgo.OnPartitionsRevoked(remove),
		kgo.OnPartitionsLost(remove),
	}, options...)...)
	go func() {
		defer close(m.ended)
		for {
			fetches := m.client.PollRecords(running, 100)
			into.mutex.Lock()
			fetches.EachRecord(func(record *kgo.Record) {
				into.values[record.Partition] = append(into.values[record.Partition], string(record.Value))
			})
			into.mutex.Unlock()
			must(m.client.CommitUncommittedOffsets(s.ctx))
			m.client.AllowRebalance()
			if running.Err() != nil {
				return
			}
		}
	}()
	return m
}

// leave ends the loop after a commit and only then the client.
func (m *member) leave() {
	m.stop()
	<-m.ended
	m.client.CloseAllowingRebalance()
}

func (m *member) count() int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return len(m.owned)
}

// owns waits until the members own that many partitions each, in any order.
func (s *session) owns(members []*member, counts ...int) {
	s.until(fmt.Sprint("assignment ", counts), func() bool {
		actual := make([]int, len(members))
		for i, m := range members {
			actual[i] = m.count()
		}
		slices.Sort(actual)
		return slices.Equal(actual, counts)
	})
}

// rebalance lets three members join and leave while records keep coming.
func rebalance(s *session, balancer kgo.GroupBalancer) {
	const partitions = 6
	topic, group := s.topic("rebalance", partitions), s.name+"-group"
	consumed := &journal{values: map[int32][]string{}}

	sent, stop, stopped := 0, make(chan struct{}), make(chan struct{})
	producer := s.client(kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer producer.Close()
	go func() {
		defer close(stopped)
		for ; ; sent++ {
			select {
			case <-stop:
				return
			default:
				record := &kgo.Record{Partition: int32(sent % partitions), Value: []byte(fmt.Sprint(sent / partitions))}
				must(producer.ProduceSync(s.ctx, record).FirstErr())
			}
		}
	}()

	with := kgo.Balancers(balancer)
	a := s.join(group, topic, "a", consumed, with)
	s.owns([]*member{a}, 6)
	b := s.join(group, topic, "b", consumed, with)
	s.owns([]*member{a, b}, 3, 3)
	saw("given up by the first when the second came", a.revoked)
	c := s.join(group, topic, "c", consumed, with)
	s.owns([]*member{a, b, c}, 2, 2, 2)

	admin := s.admin()
	defer admin.Close()
	described := got(admin.DescribeGroups(s.ctx, group))[group]
	clients := []string{}
	for _, one := range described.Members {
		clients = append(clients, one.ClientID)
	}
	slices.Sort(clients)
	assigned := described.AssignedPartitions()
	saw("described", map[string]any{
		"state": described.State, "type": described.ProtocolType, "protocol": described.Protocol,
		"clients": clients, "partitions": len(assigned[topic]), "topics": described.JoinTopics()[0] == topic,
	})

	b.leave()
	s.owns([]*member{a, c}, 3, 3)
	a.leave()
	s.owns([]*member{c}, 6)
	close(stop)
	<-stopped

	s.until("all records", func() bool {
		consumed.mutex.Lock()
		defer consumed.mutex.Unlock()
		count := 0
		for _, values := range consumed.values {
			count += len(values)
		}
		return count >= sent
	})
	c.leave()
	wrong := []string{}
	for partition, values := range consumed.values {
		for i, value := range values {
			if value != fmt.Sprint(i) {
				wrong = append(wrong, fmt.Sprint("partition ", partition, " record ", i, " is ", value))
				break
			}
		}
	}
	saw("out of order, missing or twice", wrong)
	saw("enough records to tell", sent > 20)
	saw("state after the last left", got(admin.DescribeGroups(s.ctx, group))[group].State)
}

// staticMember restarts a member with an instance id: it gets its partitions back and the other never stops.
func staticMember(s *session) {
	topic, group := s.topic("static", 4), s.name+"-group"
	consumed := &journal{values: map[int32][]string{}}
	// The eager protocol would give up everything on any rebalance, so no revocation means no rebalance.
	with := kgo.Balancers(kgo.RangeBalancer())
	a := s.join(group, topic, "a", consumed, with, kgo.InstanceID("instance-a"))
	s.owns([]*member{a}, 4)
	b := s.join(group, topic, "b", consumed, with, kgo.InstanceID("instance-b"))
	s.owns([]*member{a, b}, 2, 2)

	admin := s.admin()
	defer admin.Close()
	before := got(admin.DescribeGroups(s.ctx, group))[group]
	revocations := len(a.revoked)
	b.leave()
	restarted := s.join(group, topic, "b", consumed, with, kgo.InstanceID("instance-b"))
	s.owns([]*member{restarted}, 2)
	after := got(admin.DescribeGroups(s.ctx, group))[group]
	instances := []string{}
	for _, one := range after.Members {
		instances = append(instances, *one.InstanceID)
	}
	saw("instances", instances)
	saw("another member id for the restarted", before.Members[1].MemberID != after.Members[1].MemberID)
	saw("revocations of the other", len(a.revoked)-revocations)

	a.leave()
	restarted.leave()
	left := got(admin.LeaveGroup(s.ctx, kadm.LeaveGroup(group).InstanceIDs("instance-a", "instance-b", "instance-x")))
	saw("removed by an administrator", map[string]string{
		"instance-a": errorName(left["instance-a"].Err),
		"instance-b": errorName(left["instance-b"].Err),
		"instance-x": errorName(left["instance-x"].Err),
	})
	saw("state after that", got(admin.DescribeGroups(s.ctx, group))[group].State)
}

// resume stops a consumer in the middle and goes on with the next one from the committed offset.
func resume(s *session) {
	topic, group := s.topic("resume", 1), s.name+"-group"
	s.produce(topic, 0, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

	consumer := func(options ...kgo.Opt) *kgo.Client {
		return s.client(append([]kgo.Opt{
			kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		}, options...)...)
	}
	first := consumer(kgo.DisableAutoCommit())
	records := s.take(first, 10)
	must(first.CommitRecords(s.ctx, records[3]))
	first.Close()
	second := consumer()
	saw("after the commit of record 3", string(s.take(second, 6)[0].Value))
	// Closing an autocommitting consumer commits what the poll before the last returned; MarkCommit is not needed.
	must(second.CommitUncommittedOffsets(s.ctx))
	second.Close()
	s.produce(topic, 0, "10")
	third := consumer()
	defer third.Close()
	saw("after the commit of all", valuesOf(s.take(third, 1)))
}
