package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// codecs sends the same records with each compression and reads them back.
func codecs(s *session) {
	codecs := []struct {
		name  string
		codec kgo.CompressionCodec
	}{
		{"none", kgo.NoCompression()},
		{"gzip", kgo.GzipCompression()},
		{"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()},
		{"zstd", kgo.ZstdCompression()},
	}

	for _, each := range codecs {
		topic := s.topic(each.name, 1)
		headers := []kgo.RecordHeader{{Key: "codec", Value: []byte(each.name)}, {Key: "empty", Value: []byte{}}, {Key: "codec"}}
		sent := make([]*kgo.Record, 50)
		for i := range sent {
			sent[i] = &kgo.Record{
				Topic:     topic,
				Key:       fmt.Appendf(nil, "key-%d", i%7),
				Value:     []byte(strings.Repeat(fmt.Sprintf("value-%d ", i), 20)),
				Headers:   headers,
				Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)),
			}
		}
		sent[49].Value = nil
		sent[48].Key = nil
		sent[47].Value = []byte{}

		producer := s.client(kgo.ProducerBatchCompression(each.codec))
		must(producer.ProduceSync(s.ctx, sent...).FirstErr())
		producer.Close()

		consumer := s.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		received := s.take(consumer, len(sent))
		consumer.Close()

		saw(each.name, map[string]any{
			"stored as": received[0].Attrs.CompressionType(),
			"equal":     slices.EqualFunc(sent, received, sameRecord),
			"offsets":   []int64{received[0].Offset, received[49].Offset},
			"tombstone": received[49].Value == nil && received[47].Value != nil,
			"null":      []bool{received[0].Headers[2].Value == nil, received[0].Headers[1].Value == nil},
		})
	}
}

func sameRecord(a, b *kgo.Record) bool {
	sameHeader := func(x, y kgo.RecordHeader) bool { return x.Key == y.Key && bytes.Equal(x.Value, y.Value) }
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) && a.Timestamp.Equal(b.Timestamp) &&
		slices.EqualFunc(a.Headers, b.Headers, sameHeader)
}

// acks sends with each level of acknowledgement; the first returns before the broker has anything.
func acks(s *session) {
	topic := s.topic("acks", 1)
	admin := s.admin()
	defer admin.Close()
	for _, each := range []struct {
		name string
		acks kgo.Acks
	}{{"none", kgo.NoAck()}, {"leader", kgo.LeaderAck()}, {"all", kgo.AllISRAcks()}} {
		before := endOffset(s, admin, topic)
		producer := s.client(kgo.RequiredAcks(each.acks), kgo.DisableIdempotentWrite())
		must(producer.ProduceSync(s.ctx, &kgo.Record{Topic: topic, Value: []byte(each.name)}).FirstErr())
		s.until("record with acks "+each.name, func() bool { return endOffset(s, admin, topic) == before+1 })
		producer.Close()
	}
	consumer := s.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer consumer.Close()
	saw("stored", valuesOf(s.take(consumer, 3)))
}

func endOffset(s *session, admin *kadm.Client, topic string) int64 {
	end, _ := got(admin.ListEndOffsets(s.ctx, topic)).Lookup(topic, 0)
	must(end.Err)
	return end.Offset
}

// idempotence looks at the ids that the default, idempotent producer gets and writes.
func idempotence(s *session) {
	topic := s.topic("idempotent", 1)
	first, second := s.client(kgo.DefaultProduceTopic(topic)), s.client(kgo.DefaultProduceTopic(topic))
	defer first.Close()
	defer second.Close()
	for i := range 20 {
		must(first.ProduceSync(s.ctx, kgo.StringRecord(fmt.Sprint("first-", i))).FirstErr())
	}
	must(second.ProduceSync(s.ctx, kgo.StringRecord("second")).FirstErr())

	firstId, firstEpoch, err := first.ProducerID(s.ctx)
	must(err)
	secondId, _, err := second.ProducerID(s.ctx)
	must(err)
	saw("producer ids", map[string]any{"valid": firstId >= 0, "differ": firstId != secondId, "epoch": firstEpoch})

	consumer := s.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer consumer.Close()
	records := s.take(consumer, 21)
	saw("stored", map[string]any{
		"count":       len(records),
		"first's id":  records[0].ProducerID == firstId && records[19].ProducerID == firstId,
		"second's id": records[20].ProducerID == secondId,
		"epochs":      []int16{records[0].ProducerEpoch, records[20].ProducerEpoch},
	})
}

// partitioning checks that records land where the client's partitioner said.
func partitioning(s *session) {
	topic := s.topic("partitioned", 4)
	producer := s.client(kgo.DefaultProduceTopic(topic))
	defer producer.Close()
	sent := make([]*kgo.Record, 40)
	for i := range sent {
		sent[i] = kgo.KeyStringRecord(fmt.Sprint("key-", i%8), fmt.Sprint(i))
	}
	must(producer.ProduceSync(s.ctx, sent...).FirstErr())

	consumer := s.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer consumer.Close()
	at := map[string]bool{}
	for _, record := range s.take(consumer, 40) {
		at[fmt.Sprint(record.Partition, "/", record.Offset, "=", string(record.Value))] = true
	}
	same := 0
	for _, record := range sent {
		if at[fmt.Sprint(record.Partition, "/", record.Offset, "=", string(record.Value))] {
			same++
		}
	}
	saw("found where the acknowledgement said", same)
}

// refusals collects the broker's errors for records it must not take.
func refusals(s *session) {
	admin := s.admin()
	defer admin.Close()
	small := s.name + "-small"
	got(admin.CreateTopic(s.ctx, 1, 1, map[string]*string{"max.message.bytes": kadm.StringPtr("1000")}, small))
	compacted := s.name + "-compacted"
	got(admin.CreateTopic(s.ctx, 1, 1, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")}, compacted))
	s.visible(admin, small)
	s.visible(admin, compacted)

	uncompressed := kgo.ProducerBatchCompression(kgo.NoCompression())
	producer := s.client(uncompressed, kgo.DisableIdempotentWrite(), kgo.UnknownTopicRetries(1))
	defer producer.Close()
	send := func(record *kgo.Record) string { return errorName(producer.ProduceSync(s.ctx, record).FirstErr()) }
	saw("2000 bytes where 1000 are allowed", send(&kgo.Record{Topic: small, Value: make([]byte, 2000)}))
	saw("900 bytes where 1000 are allowed", send(&kgo.Record{Topic: small, Value: make([]byte, 900)}))
	saw("no key on a compacted topic", send(&kgo.Record{Topic: compacted, Value: []byte("x")}))
	saw("a key on a compacted topic", send(&kgo.Record{Topic: compacted, Key: []byte("k"), Value: []byte("x")}))
	saw("a topic that is not there", send(&kgo.Record{Topic: s.name + "-absent", Value: []byte("x")}))

	creating := s.client(kgo.AllowAutoTopicCreation())
	defer creating.Close()
	automatic := creating.ProduceSync(s.ctx, &kgo.Record{Topic: s.name + "-automatic", Value: []byte("x")})
	saw("a topic that is not there, with automatic creation", errorName(automatic.FirstErr()))
}

// largeRecords sends and fetches batches near the default limits, which do not fit into one fetch together.
func largeRecords(s *session) {
	topic := s.topic("large", 1)
	producer := s.client(kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer producer.Close()
	for i := range 6 {
		must(producer.ProduceSync(s.ctx, kgo.SliceRecord(bytes.Repeat([]byte{byte(i)}, 900_000))).FirstErr())
	}
	// A fetch smaller than a batch still gets that one batch, or a consumer would wait for ever.
	consumer := s.client(
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxBytes(10_000),
		kgo.FetchMaxPartitionBytes(10_000),
	)
	defer consumer.Close()
	intact := 0
	for i, record := range s.take(consumer, 6) {
		if bytes.Equal(record.Value, bytes.Repeat([]byte{byte(i)}, 900_000)) {
			intact++
		}
	}
	saw("intact", intact)
}

// seek starts consumers at the places a client can name.
func seek(s *session) {
	topic := s.topic("seek", 1)
	producer := s.client(kgo.DefaultProduceTopic(topic))
	defer producer.Close()
	for i := range 10 {
		record := kgo.StringRecord(fmt.Sprint(i))
		record.Timestamp = time.UnixMilli(1_000_000 + int64(i)*1000)
		must(producer.ProduceSync(s.ctx, record).FirstErr())
	}
	for _, each := range []struct {
		name  string
		start kgo.Offset
	}{
		{"start", kgo.NewOffset().AtStart()},
		{"offset 7", kgo.NewOffset().At(7)},
		{"3 before the end", kgo.NewOffset().AtEnd().Relative(-3)},
		{"after a timestamp", kgo.NewOffset().AfterMilli(1_003_500)},
	} {
		consumer := s.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: each.start}}))
		saw(each.name, string(s.take(consumer, 1)[0].Value))
		consumer.Close()
	}

	// An offset beyond the end is answered with OFFSET_OUT_OF_RANGE, on which the client resets.
	beyond := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(500)}}
	consumer := s.client(kgo.ConsumePartitions(beyond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer consumer.Close()
	saw("reset from beyond the end", string(s.take(consumer, 1)[0].Value))

	// The same consumer moves while it runs.
	consumer.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {0: {Epoch: -1, Offset: 4}}})
	saw("set to 4", string(s.take(consumer, 1)[0].Value))

	consumer.PauseFetchTopics(topic)
	consumer.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {0: {Epoch: -1, Offset: 8}}})
	consumer.ResumeFetchTopics(topic)
	saw("set to 8 while paused", string(s.take(consumer, 1)[0].Value))
}

// regex subscribes to a pattern, so the client lists all topics and finds the one made later.
func regex(s *session) {
	first := s.topic("match-1", 1)
	s.topic("other", 1)
	consumer := s.client(
		kgo.ConsumeRegex(),
		kgo.ConsumeTopics("^"+s.name+"-match-.*"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.MetadataMaxAge(200*time.Millisecond),
		kgo.FetchMaxWait(200*time.Millisecond),
	)
	defer consumer.Close()
	s.produce(s.name+"-other", 0, "not wanted")
	s.produce(first, 0, "first")
	seen := valuesOf(s.take(consumer, 1))
	s.produce(s.topic("match-2", 1), 0, "second")
	saw("values", append(seen, valuesOf(s.take(consumer, 1))...))
}
