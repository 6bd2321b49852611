package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/logdrive/logdrive/cluster/wire"
)

const (
	helloWorkers = 8       // answers in the making at once; each may hold a batch and a table in memory
	maxBatch     = 8 << 20 // raw bytes: the largest wish
	minBatch     = 64 << 10
	settle       = 2 * time.Second // after its start a hub gives agents this long to link again before it takes a strange one for a host
	batchShare   = 16              // batches that must fit into a stream, so that a small one is not full with the heads of few hosts
)

// hello is the service that tells agents where the chain of their host stands.
type hello struct {
	nc      *nats.Conn
	ground  atomic.Pointer[ground]
	timeout time.Duration // of one answer
	links   *links
	since   time.Time // start of the service
	log     *slog.Logger
	service micro.Service
	asked   chan micro.Request
	stopped chan struct{} // closed when no worker takes requests any more

	mu   sync.Mutex           // guards back
	back map[string]time.Time // hosts whose stream seems to have lost its end, since when
}

// believeBack is how long a stream of several nodes must seem to have lost its end. A leader that was frozen does not know for a moment that there is another, and that the chain went on there;
// an agent that is told so ends.
const believeBack = 30 * time.Second

// lostEnd reports whether to believe that the stream of a host has lost its end.
func (h *hello) lostEnd(host string, replicas int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.back[host].IsZero() {
		h.back[host] = time.Now()
	}
	return replicas == 1 || time.Since(h.back[host]) > believeBack
}

func (h *hello) hasEnd(host string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.back, host)
}

// ground is what the service answers from.
type ground struct {
	f   *foundation
	why error // there are no answers now, and why; nil: there are
}

// errAway is wrapped by the reason why hello is not answered while the layout is being changed.
var errAway = errors.New("ask again")

// stand makes the service answer from a foundation. An answer from the one before may still be on its way: what is published upon it is refused.
func (h *hello) stand(f *foundation) { h.ground.Store(&ground{f: f}) }

// pause makes the service answer nothing but why.
func (h *hello) pause(why string) {
	h.ground.Store(&ground{f: h.ground.Load().f, why: fmt.Errorf("%s: %w", why, errAway)})
}

// newHello registers the service. Requests are taken up only by run; until then, and while all workers are busy, they wait in the subscription.
func newHello(nc *nats.Conn, s *server.Server, others func() []string, f *foundation, timeout time.Duration, log *slog.Logger) (*hello, error) {
	h := &hello{nc: nc, timeout: timeout, links: &links{server: s, nc: nc, others: others}, since: time.Now(), log: log, asked: make(chan micro.Request), stopped: make(chan struct{}), back: map[string]time.Time{}}
	h.stand(f)
	svc, err := micro.AddService(nc, micro.Config{Name: "logdrive-hello", Version: "1.0.0", Description: "tells agents where the chain of their host stands"})
	if err != nil {
		return nil, fmt.Errorf("add hello service: %w", err)
	}
	if err := svc.AddEndpoint("hello", micro.HandlerFunc(h.take), micro.WithEndpointSubject(wire.HelloSubjects)); err != nil {
		return nil, errors.Join(fmt.Errorf("add hello endpoint: %w", err), svc.Stop())
	}
	h.service = svc
	return h, nil
}

// run answers until ctx ends.
func (h *hello) run(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	workers.Go(func() {
		if err := h.links.serve(ctx); err != nil {
			h.log.Error("other nodes are not told of the agents here", "err", err)
		}
	})
	for range helloWorkers {
		workers.Go(h.work)
	}
	<-ctx.Done()
	err := h.service.Stop()
	close(h.stopped)
	if err != nil {
		return fmt.Errorf("stop hello service: %w", err)
	}
	return nil
}

// take blocks the subscription while all workers are busy: requests then wait in its queue, which is bounded.
func (h *hello) take(r micro.Request) {
	select {
	case h.asked <- r:
	case <-h.stopped:
	}
}

func (h *hello) work() {
	for {
		select {
		case r := <-h.asked:
			h.respond(r)
		case <-h.stopped:
			return
		}
	}
}

// respond answers one request, or answers with an error that makes the agent ask again. Not through the request: the service reads there, without a lock, what went
// wrong, as soon as it was taken.
func (h *hello) respond(r micro.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), h.timeout)
	defer cancel()
	data, err := h.answer(ctx, r.Subject(), r.Data())
	if err == nil {
		err = h.nc.Publish(r.Reply(), data)
	}
	if err == nil {
		return
	}
	level := slog.LevelWarn
	if errors.Is(err, errFollowing) || errors.Is(err, errAway) { // of the latter the log has told once, and a fleet asks all the time
		level = slog.LevelDebug
	}
	h.log.Log(ctx, level, "hello is not answered", "subject", r.Subject(), "err", err)
	refusal := &nats.Msg{Subject: r.Reply(), Header: nats.Header{micro.ErrorHeader: {err.Error()}, micro.ErrorCodeHeader: {"500"}}}
	if err := h.nc.PublishMsg(refusal); err != nil {
		h.log.Warn("hello is not answered at all", "subject", r.Subject(), "err", err)
	}
}

func (h *hello) answer(ctx context.Context, subject string, data []byte) ([]byte, error) {
	w, err := h.welcome(ctx, subject, data)
	if err != nil {
		return nil, err
	}
	return w.Encode()
}

// welcome is the answer of rule P3. The host is the subject's: whatever credentials allow an agent, they allow by subject.
func (h *hello) welcome(ctx context.Context, subject string, data []byte) (*wire.Welcome, error) {
	w := &wire.Welcome{Version: wire.Version}
	host, err := wire.HostOfHello(subject)
	if err != nil {
		return refuse(w, "%v", err), nil
	}
	asked, err := wire.DecodeHello(data)
	if err != nil {
		return refuse(w, "this is no hello: %v", err), nil
	}
	if asked.Version != wire.Version {
		return refuse(w, "agent speaks protocol version %d, hub speaks %d: %s", asked.Version, wire.Version, whoIsOld(asked.Version)), nil
	}
	at := h.ground.Load()
	if at.why != nil {
		return nil, at.why
	}
	c := at.f.chain(host)
	st, err := c.standing(ctx, asked)
	if errors.Is(err, errWentBack) && h.lostEnd(host, c.f.bucket.CachedInfo().Config.Replicas) {
		return refuse(w, "%v; restore the hub's store, or found a new hub", err), nil
	}
	if err != nil {
		return nil, err
	}
	h.hasEnd(host)
	if refusal, err := h.links.conflict(host, asked, st.writer); refusal != "" || err != nil {
		w.Conflict = refusal != ""
		return refuse(w, "%s", refusal), err
	}
	if st.writer != "" && st.writer != asked.Writer && time.Since(h.since) < settle {
		return nil, fmt.Errorf("hub has just started, and host %s was shipped by another agent (writer id %s) that may be about to link again", host, st.writer)
	}
	h.fill(w, c, st, asked)
	return w, nil
}

func (h *hello) fill(w *wire.Welcome, c *chain, st state, asked wire.Hello) {
	w.Stream, w.Created = c.name(), c.created
	w.Head, w.Stored, w.Archived = st.head, st.stored, st.archived
	w.MaxBatch = batchWish(c.f.layout.StreamBytes)
	if asked.Tried == "" && (asked.After != st.head || st.head == 0) {
		w.Table = &st.table
	}
}

func batchWish(streamBytes int64) int {
	return int(max(minBatch, min(maxBatch, streamBytes/batchShare)))
}

func refuse(w *wire.Welcome, format string, args ...any) *wire.Welcome {
	w.Refusal = fmt.Sprintf(format, args...)
	return w
}

func whoIsOld(agent int) string {
	if agent < wire.Version {
		return "upgrade the agent"
	}
	return "upgrade the hub"
}
