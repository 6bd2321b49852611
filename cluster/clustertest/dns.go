package clustertest

import (
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// DNS is a real DNS server on loopback, over UDP and TCP, whose zone a test changes as it goes.
type DNS struct {
	t       testing.TB
	address string

	mu     sync.Mutex // guards what follows
	zone   map[string][]dns.RR
	faults map[dns.Question]int
	before map[dns.Question]func()
	asked  []string
}

// mute is the fault of a question that is never answered.
const mute = -1

// StartDNS starts a server that knows no names, and stops it at the end of the test.
func StartDNS(t testing.TB) *DNS {
	t.Helper()
	d := &DNS{t: t, zone: map[string][]dns.RR{}, faults: map[dns.Question]int{}, before: map[dns.Question]func(){}}
	packets, listener := listenDNS(t)
	d.address = packets.LocalAddr().String()
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: d}, {Listener: listener, Handler: d}} {
		started, ended := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		go func() { ended <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Errorf("stop the DNS server: %v", err)
			}
			if err := <-ended; err != nil {
				t.Errorf("DNS server: %v", err)
			}
		})
	}
	return d
}

// listenDNS finds a port that is free for both.
func listenDNS(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 100 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if packets, err := net.ListenPacket("udp", listener.Addr().String()); err == nil {
			return packets, listener
		}
		_ = listener.Close()
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

// Address is where it listens, as host:port.
func (d *DNS) Address() string { return d.address }

// Set makes a name have these records and no others, each as in a zone file: "A 127.0.0.1", "SRV 0 0 6222 hub-1.test.". Without any the
// name exists and has no records. It heals what Fail and Mute did to the name.
func (d *DNS) Set(name string, records ...string) {
	d.t.Helper()
	name = dns.CanonicalName(name)
	list := []dns.RR{}
	for _, text := range records {
		rr, err := dns.NewRR(name + " 0 IN " + text)
		if err != nil {
			d.t.Fatalf("record %q of %s: %v", text, name, err)
		}
		list = append(list, rr)
	}
	d.change(func() {
		d.heal(name)
		d.zone[name] = list
	})
}

// Delete makes a name not exist.
func (d *DNS) Delete(name string) {
	name = dns.CanonicalName(name)
	d.change(func() {
		d.heal(name)
		delete(d.zone, name)
	})
}

// Fail makes the server answer questions for records of one type ("AAAA") with an error ("SERVFAIL").
func (d *DNS) Fail(name, recordType, rcode string) {
	d.t.Helper()
	code, ok := dns.StringToRcode[rcode]
	if !ok {
		d.t.Fatalf("no DNS error is called %q", rcode)
	}
	d.fault(name, recordType, code)
}

// Mute makes the server not answer questions for records of one type.
func (d *DNS) Mute(name, recordType string) {
	d.t.Helper()
	d.fault(name, recordType, mute)
}

// Before calls do once, before the next question for records of one type is answered: what changes between two questions.
func (d *DNS) Before(name, recordType string, do func()) {
	d.t.Helper()
	q := d.question(name, recordType)
	d.change(func() { d.before[q] = do })
}

// Asked lists the questions since the start, each as "AAAA hub.test.".
func (d *DNS) Asked() (list []string) {
	d.change(func() { list = slices.Clone(d.asked) })
	return list
}

func (d *DNS) fault(name, recordType string, code int) {
	d.t.Helper()
	q := d.question(name, recordType)
	d.change(func() { d.faults[q] = code })
}

func (d *DNS) question(name, recordType string) dns.Question {
	d.t.Helper()
	kind, ok := dns.StringToType[recordType]
	if !ok {
		d.t.Fatalf("no DNS record is of type %q", recordType)
	}
	return dns.Question{Name: dns.CanonicalName(name), Qtype: kind, Qclass: dns.ClassINET}
}

func (d *DNS) heal(name string) {
	for q := range d.faults {
		if q.Name == name {
			delete(d.faults, q)
		}
	}
}

func (d *DNS) change(what func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	what()
}

// ServeDNS answers one question.
func (d *DNS) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(request)
	reply.Authoritative = true
	q := request.Question[0]
	q.Name = dns.CanonicalName(q.Name)
	d.runBefore(q)
	answers := true
	d.change(func() { answers = d.answer(q, reply) })
	if !answers {
		return
	}
	size := dns.MinMsgSize
	if opt := request.IsEdns0(); opt != nil {
		size = int(opt.UDPSize())
	}
	if w.LocalAddr().Network() == "tcp" {
		size = dns.MaxMsgSize
	}
	reply.Truncate(size)
	_ = w.WriteMsg(reply) // whoever asked may have gone
}

func (d *DNS) runBefore(q dns.Question) {
	var do func()
	d.change(func() {
		do = d.before[q]
		delete(d.before, q)
	})
	if do != nil {
		do()
	}
}

func (d *DNS) answer(q dns.Question, reply *dns.Msg) bool {
	d.asked = append(d.asked, dns.TypeToString[q.Qtype]+" "+q.Name)
	code, faulty := d.faults[q]
	records, exists := d.zone[q.Name]
	switch {
	case faulty && code == mute:
		return false
	case faulty:
		reply.Rcode = code
	case !exists:
		reply.Rcode = dns.RcodeNameError
	}
	for _, rr := range records {
		if !faulty && rr.Header().Rrtype == q.Qtype {
			reply.Answer = append(reply.Answer, dns.Copy(rr))
		}
	}
	return true
}
