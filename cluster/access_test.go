package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
	"github.com/logdrive/logdrive/cluster/wire"
)

// rawLeaf speaks the leaf protocol itself, so that nothing but the hub stands in its way.
type rawLeaf struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dialRawLeaf(t *testing.T, hub *clustertest.Hub) *rawLeaf {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(hub.Addresses().Leaf, "nats-leaf://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := &rawLeaf{t: t, conn: conn, in: bufio.NewReader(conn)}
	r.send(fmt.Sprintf(`CONNECT {"user":"agent","pass":%q,"server_id":"RAW","name":"raw","version":"2.15.2","headers":true}`, hub.Secret()))
	r.send("PING")
	r.until("PONG")
	return r
}

func (r *rawLeaf) send(line string) {
	r.t.Helper()
	if _, err := r.conn.Write([]byte(line + "\r\n")); err != nil {
		r.t.Fatal(err)
	}
}

// until reads up to a line that begins with one of the words.
func (r *rawLeaf) until(words ...string) string {
	r.t.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(clustertest.Patience))
	for {
		line, err := r.in.ReadString('\n')
		if err != nil {
			return fmt.Sprintf("closed: %v", err)
		}
		for _, word := range words {
			if strings.HasPrefix(line, word) {
				return strings.TrimSpace(line)
			}
		}
	}
}

func TestRawLeafIsRefusedEverythingButItsServices(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	for name, line := range map[string]string{
		"publish to a partition":       "LMSG part.1.0.web1 1\r\nx",
		"publish to the JetStream API": "LMSG $JS.API.STREAM.NAMES 0\r\n",
		"publish to the domain's API":  "LMSG $JS.hub.API.STREAM.NAMES 0\r\n",
		"write the bucket":             "LMSG $KV.LOGDRIVE.layout 1\r\nx",
		"publish to an inbox":          "LMSG _INBOX.web1.x 1\r\nx",
		"read one host's logs":         "LS+ logs.web1",
		"answer one host's hello":      "LS+ hello.web1",
		"read a partition":             "LS+ part.1.0.web1",
	} {
		t.Run(name, func(t *testing.T) {
			r := dialRawLeaf(t, hub)
			r.send(line)
			if got := r.until("-ERR"); !strings.Contains(got, "Permissions Violation") {
				t.Errorf("the hub says %q", got)
			}
		})
	}
}

// Subscriptions with wildcards are let in, and filtered at delivery.
func TestRawLeafReadsNobodysLogs(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	r := dialRawLeaf(t, hub)
	for _, subject := range []string{"logs.*", "hello.*", "part.>", ">", "$JS.>", "$KV.>", "*.web1"} {
		r.send("LS+ " + subject)
	}
	r.send("PING")
	r.until("PONG")
	leaf := clustertest.StartLeaf(t, hub, "web1", "a", hub.Addresses().Leaf)
	agent := leaf.Client(t)
	w := clustertest.Hello(t, agent, "web1", wire.Hello{Version: wire.Version, Writer: "w-a", Session: "s-a"})
	if w.Refusal != "" {
		t.Fatal(w.Refusal)
	}
	if _, err := clustertest.Publish(agent, clustertest.Batch("web1", "w-a", 1, "/x", 0, []byte("x\n")), w.Stream, 0); err != nil {
		t.Fatal(err)
	}
	// What the hub had for this leaf it has sent before the answer to a later ping.
	r.send("PING")
	for {
		line := r.until("LMSG", "HMSG", "PONG", "closed")
		if !strings.Contains(line, "MSG") {
			break
		}
		if subject := strings.Fields(line)[1]; !strings.HasPrefix(subject, "_INBOX.") {
			t.Errorf("the leaf was sent %q", line)
		}
	}
}

func TestLeafCannotAcknowledgeForAReceiver(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	leaf := clustertest.StartLeaf(t, hub, "web1", "a", hub.Addresses().Leaf)
	agent := leaf.Client(t)
	w := clustertest.Hello(t, agent, "web1", wire.Hello{Version: wire.Version, Writer: "w-a", Session: "s-a"})
	if _, err := clustertest.Publish(agent, clustertest.Batch("web1", "w-a", 1, "/x", 0, []byte("x\n")), w.Stream, 0); err != nil {
		t.Fatal(err)
	}
	consumer := durable(t, hub, w.Stream)
	batch, err := consumer.Fetch(1)
	if err != nil {
		t.Fatal(err)
	}
	msg := <-batch.Messages()
	ack := msg.Reply()

	raw := dialRawLeaf(t, hub)
	raw.send(fmt.Sprintf("LMSG %s 4\r\n+ACK", ack))
	raw.send("PING")
	raw.until("PONG", "closed")
	if err := agent.Publish(ack, []byte("+ACK")); err != nil {
		t.Fatal(err)
	}
	// What the forger's connection carried before this answer has been handled.
	clustertest.Hello(t, agent, "web1", wire.Hello{Version: wire.Version, Writer: "w-a", Session: "s-a"})
	info, err := consumer.Info(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if info.NumAckPending != 1 || info.AckFloor.Stream != 0 {
		t.Errorf("a forged ack counted: %d pending, floor %d", info.NumAckPending, info.AckFloor.Stream)
	}
}

func durable(t *testing.T, hub *clustertest.Hub, stream string) jetstream.Consumer {
	t.Helper()
	js, err := jetstream.New(hub.Receiver(t))
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.CreateConsumer(context.Background(), stream, jetstream.ConsumerConfig{
		Durable: "archive-1", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second, MaxDeliver: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return consumer
}

func TestAgentsUserIsNoClientAndReceiversUserIsNoLeaf(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	if nc, err := nats.Connect(hub.Addresses().Client, nats.UserInfo("agent", hub.Secret())); err == nil {
		nc.Close()
		t.Error("the agents' user came in as a client")
	}
	r := &rawLeaf{t: t}
	var err error
	if r.conn, err = net.Dial("tcp", strings.TrimPrefix(hub.Addresses().Leaf, "nats-leaf://")); err != nil {
		t.Fatal(err)
	}
	defer r.conn.Close()
	r.in = bufio.NewReader(r.conn)
	r.send(fmt.Sprintf(`CONNECT {"user":"receiver","pass":%q,"server_id":"RAW","name":"raw","version":"2.15.2","headers":true}`, hub.Secret()))
	if got := r.until("-ERR", "PONG"); !strings.Contains(got, "Authorization Violation") {
		t.Errorf("a leaf with the receivers' user is told %q", got)
	}
}

func TestConnectExplainsWhatIsWrong(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	a := hub.Addresses()
	nc, err := cluster.Connect(a.Client, hub.Secret())
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	for name, c := range map[string]struct{ url, secret, want string }{
		"wrong secret":   {a.Client, "wrong", "refuses the secret"},
		"leaf address":   {a.Leaf, hub.Secret(), "is for agents"},
		"leaf port":      {strings.Replace(a.Leaf, "nats-leaf", "nats", 1), hub.Secret(), "not the one for agents"},
		"nobody listens": {"nats://127.0.0.1:1", hub.Secret(), "connection refused"},
		"no URL":         {"hub.example", hub.Secret(), "is not nats://host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := cluster.Connect(c.url, c.secret)
			if err == nil {
				nc.Close()
				t.Fatal("it connected")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, want it to say %q", err, c.want)
			}
		})
	}
}

func TestLeafSaysWhyItHasNoLink(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	a := hub.Addresses()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := nobody.Addr().String()
	nobody.Close()
	for name, c := range map[string]struct{ hub, secret, want string }{
		"wrong secret":    {a.Leaf, "wrong", "refuses the secret"},
		"receivers' port": {strings.Replace(a.Client, "nats", "nats-leaf", 1), hub.Secret(), "no leaf listener"},
		"nobody listens":  {"nats-leaf://" + web, hub.Secret(), "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			leaf := clustertest.NewLeaf(t, cluster.LeafConfig{Host: "web1", Writer: "w", Session: "s", Hubs: []string{c.hub}, Secret: c.secret})
			clustertest.Until(t, "the link has a fault", func() bool { return leaf.Link().Fault != "" })
			if l := leaf.Link(); l.Up || !strings.Contains(l.Fault, c.want) {
				t.Errorf("got %+v, want it to say %q", l, c.want)
			}
		})
	}
}

func TestHelloIsVisibleAsAService(t *testing.T) {
	hub := clustertest.Start(t, clustertest.Config())
	msg, err := hub.Receiver(t).Request("$SRV.INFO.logdrive-hello", nil, clustertest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		Endpoints []struct{ Subject string }
	}
	if err := json.Unmarshal(msg.Data, &info); err != nil || len(info.Endpoints) != 1 || info.Endpoints[0].Subject != wire.HelloSubjects {
		t.Errorf("service info %s: %v", msg.Data, err)
	}
}
