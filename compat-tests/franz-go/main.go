// Uses franz-go on the broker under test, one sub-command per theme. Each thing looked at is printed as one JSON line,
// {"what was looked at": what was seen}; what is right is known by the test file that runs this program.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// session is one run of a theme. Its name is a prefix that no other run uses for topics and groups.
type session struct {
	ctx       context.Context
	bootstrap string
	name      string
}

var themes = map[string]func(*session){
	"codecs":         codecs,
	"acks":           acks,
	"idempotence":    idempotence,
	"partitioning":   partitioning,
	"refusals":       refusals,
	"large-records":  largeRecords,
	"seek":           seek,
	"regex":          regex,
	"range":          func(s *session) { rebalance(s, kgo.RangeBalancer()) },
	"cooperative":    func(s *session) { rebalance(s, kgo.CooperativeStickyBalancer()) },
	"static-member":  staticMember,
	"resume":         resume,
	"offsets":        offsets,
	"lag":            lag,
	"groups":         groups,
	"topics":         topics,
	"configs":        configs,
	"list-offsets":   listOffsets,
	"delete-records": deleteRecords,
	"cluster":        cluster,
	"transactions":   transactions,
	"transact":       transactSession,
}

func main() {
	if len(os.Args) != 4 || themes[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: franz-go THEME BOOTSTRAP NAME")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 45*time.Second)
	defer cancel()
	themes[os.Args[1]](&session{ctx, os.Args[2], os.Args[3]})
}

func saw(what string, seen any) {
	line, err := json.Marshal(map[string]any{what: seen})
	must(err)
	fmt.Println(string(line))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func got[T any](value T, err error) T {
	must(err)
	return value
}

// errorName is Kafka's name of an error a broker answered with, and the text of any other error.
func errorName(err error) string {
	var answer *kerr.Error
	switch {
	case err == nil:
		return "NONE"
	case errors.As(err, &answer):
		return answer.Message
	default:
		return err.Error()
	}
}

func (s *session) client(options ...kgo.Opt) *kgo.Client {
	// The client caches metadata for 5 seconds unless told otherwise, and these themes create topics all the time.
	fresh := kgo.MetadataMinAge(50 * time.Millisecond)
	common := []kgo.Opt{kgo.SeedBrokers(s.bootstrap), kgo.ClientID(s.name), fresh}
	return got(kgo.NewClient(append(common, options...)...))
}

func (s *session) admin() *kadm.Client {
	return kadm.NewClient(s.client())
}

// topic creates a topic of this session and returns its name.
func (s *session) topic(suffix string, partitions int32) string {
	admin := s.admin()
	defer admin.Close()
	topic := s.name + "-" + suffix
	got(admin.CreateTopic(s.ctx, partitions, 1, nil, topic))
	s.visible(admin, topic)
	return topic
}

// visible waits for a new topic. A broker of a cluster learns of it a moment after the answer and leads its partitions
// a moment later; until then it refuses records.
func (s *session) visible(admin *kadm.Client, topic string) {
	s.until("visible topic", func() bool {
		return got(admin.ListTopics(s.ctx, topic))[topic].Err == nil && got(admin.ListEndOffsets(s.ctx, topic)).Error() == nil
	})
}

// produce sends values to one partition and waits for their acknowledgement.
func (s *session) produce(topic string, partition int32, values ...string) {
	producer := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer producer.Close()
	records := make([]*kgo.Record, len(values))
	for i, value := range values {
		records[i] = &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}
	}
	must(producer.ProduceSync(s.ctx, records...).FirstErr())
}

// take polls until it has count records.
func (s *session) take(consumer *kgo.Client, count int) []*kgo.Record {
	var records []*kgo.Record
	for len(records) < count {
		fetches := consumer.PollFetches(s.ctx)
		must(s.ctx.Err())
		for _, failure := range fetches.Errors() {
			must(failure.Err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

func valuesOf(records []*kgo.Record) []string {
	values := make([]string, len(records))
	for i, record := range records {
		values[i] = string(record.Value)
	}
	return values
}

// until asks again and again; the deadline of the session ends a wait for what never comes.
func (s *session) until(what string, condition func() bool) {
	for !condition() {
		select {
		case <-s.ctx.Done():
			panic("no " + what + " in time")
		case <-time.After(10 * time.Millisecond):
		}
	}
}
