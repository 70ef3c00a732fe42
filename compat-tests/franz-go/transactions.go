package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// committed reads a topic with one partition from its start to the end of what is decided.
func (s *session) committed(topic string) []string {
	admin := s.admin()
	defer admin.Close()
	end := got(admin.ListCommittedOffsets(s.ctx, topic))[topic][0].Offset
	reader := s.client(
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The end of a transaction has an offset, and no record that the client would give out.
		kgo.KeepControlRecords(),
	)
	defer reader.Close()
	values := []string{}
	for next := int64(0); next < end; {
		fetches := reader.PollFetches(s.ctx)
		must(s.ctx.Err())
		for _, record := range fetches.Records() {
			next = record.Offset + 1
			if !record.Attrs.IsControl() {
				values = append(values, string(record.Value))
			}
		}
	}
	return values
}

func (s *session) transactional(id string) *kgo.Client {
	return s.client(kgo.TransactionalID(s.name+"-"+id), kgo.TransactionTimeout(20*time.Second))
}

// transactions commits and aborts, and lets a second producer take over from the first.
func transactions(s *session) {
	topic := s.topic("plain", 1)
	admin := s.admin()
	defer admin.Close()
	producer := s.transactional("a")
	defer producer.Close()
	for i := range 6 {
		must(producer.BeginTransaction())
		must(producer.ProduceSync(s.ctx, &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%d", i)}).FirstErr())
		if i == 5 {
			described := got(admin.DescribeTransactions(s.ctx, s.name+"-a"))[s.name+"-a"]
			saw("described", []any{described.State, described.Topics.Sorted()[0].Topic == topic})
			listed := got(admin.ListTransactions(s.ctx, nil, []string{"Ongoing"}))
			saw("listed", slices.Contains(listed.TransactionalIDs(), s.name+"-a"))
		}
		must(producer.EndTransaction(s.ctx, kgo.TransactionEndTry(i%2 == 0)))
	}
	saw("committed", s.committed(topic))

	must(producer.BeginTransaction())
	must(producer.ProduceSync(s.ctx, &kgo.Record{Topic: topic, Value: []byte("of the zombie")}).FirstErr())
	successor := s.transactional("a")
	defer successor.Close()
	must(successor.BeginTransaction())
	must(successor.ProduceSync(s.ctx, &kgo.Record{Topic: topic, Value: []byte("of its successor")}).FirstErr())
	zombie := producer.EndTransaction(s.ctx, kgo.TryCommit)
	saw("the zombie is fenced", errors.Is(zombie, kerr.ProducerFenced) || errors.Is(zombie, kerr.InvalidProducerEpoch))
	must(successor.EndTransaction(s.ctx, kgo.TryCommit))
	saw("committed after that", s.committed(topic))
}

// transactSession copies a topic by several sessions that come and go, each record once.
func transactSession(s *session) {
	const partitions, records = 4, 800
	input, output, group := s.topic("input", partitions), s.topic("output", 1), s.name+"-group"
	sent := make([]string, records)
	for i := range sent {
		sent[i] = fmt.Sprintf("%d", i)
	}
	for partition := range partitions {
		s.produce(input, int32(partition), sent[partition*records/partitions:(partition+1)*records/partitions]...)
	}

	var copied sync.WaitGroup
	start := func(id string, transactions int) {
		copied.Add(1)
		go func() {
			defer copied.Done()
			s.copy(id, input, output, group, transactions)
		}()
	}
	// Two of them leave after a few transactions; the last one stays until nothing is left.
	start("one", 3)
	start("two", 5)
	copied.Wait()
	start("three", 0)
	copied.Wait()
	seen := s.committed(output)
	slices.Sort(seen)
	slices.Sort(sent)
	saw("each once", slices.Equal(seen, sent))
}

// copy makes so many transactions, or with 0 as many as there is something to do for.
func (s *session) copy(id, input, output, group string, transactions int) {
	session := got(kgo.NewGroupTransactSession(
		kgo.SeedBrokers(s.bootstrap),
		kgo.TransactionalID(s.name+"-"+id),
		kgo.TransactionTimeout(20*time.Second),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(input),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
		kgo.HeartbeatInterval(100*time.Millisecond),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.DefaultProduceTopic(output),
	))
	defer session.Close()
	for done := 0; transactions == 0 || done < transactions; {
		polling, cancel := context.WithTimeout(s.ctx, 3*time.Second)
		fetches := session.PollRecords(polling, 25)
		idle := polling.Err() != nil
		cancel()
		must(s.ctx.Err())
		if fetches.Empty() || idle {
			if idle {
				return
			}
			continue
		}
		must(session.Begin())
		for _, record := range fetches.Records() {
			session.Produce(s.ctx, &kgo.Record{Value: record.Value}, nil)
		}
		if got(session.End(s.ctx, kgo.TryCommit)) {
			done++
		}
	}
}
