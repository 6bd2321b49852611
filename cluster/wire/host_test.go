package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/logdrive/logdrive/cluster/wire"
)

func TestValidHost(t *testing.T) {
	valid := []string{"a", "web1", "web1.example.com", "WEB_1", "a-b.c_d", "0", strings.Repeat("a", wire.MaxHost)}
	for _, host := range valid {
		if err := wire.ValidHost(host); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
	invalid := map[string]string{
		"": "empty", "a/b": `byte 1 is '/'`, "../etc": "two dots", "..": "two dots", ".": "begin and end", ".a": "begin and end",
		"a.": "begin and end", "-a": "begin and end", "a_": "begin and end", "a b": "byte 1", "a\nb": "byte 1", "a*": "byte 1", "a>": "byte 1",
		"a=b": "byte 1", "a..b": "two dots", "höst": "byte 1", "a\x00": "byte 1", "a%2e": "byte 1", strings.Repeat("a", wire.MaxHost+1): "254 bytes",
	}
	for host, says := range invalid {
		if err := wire.ValidHost(host); !errors.Is(err, wire.ErrHost) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: error is %v, want ErrHost that says %q", host, err, says)
		}
	}
}

func TestHostTokens(t *testing.T) {
	if got := wire.HostToken("web1.example.com"); got != "web1=example=com" {
		t.Errorf("token is %q", got)
	}
	for _, token := range []string{"", "a.b", "a*", ">", "a==b", "=a", "a/b", "a b"} {
		if host, err := wire.HostOfToken(token); !errors.Is(err, wire.ErrHost) {
			t.Errorf("token %q is taken for host %q: %v", token, host, err)
		}
	}
}

func TestSubjects(t *testing.T) {
	for got, want := range map[string]string{
		wire.LogSubject("web1.example.com"):         "logs.web1=example=com",
		wire.HelloSubject("web1"):                   "hello.web1",
		wire.PartSubject(2, 5, "web1.a"):            "part.2.5.web1=a",
		wire.PartSubjects(2, 5):                     "part.2.5.*",
		wire.Mapping(1, 8):                          "part.1.{{partition(8,1)}}.{{wildcard(1)}}",
		wire.StreamName("H", 1, 7):                  "LOGS-H-1-7",
		wire.RecordKey(1, 7):                        "record.1.7",
		wire.TableKey("LOGS-H-1-7", "a.b"):          "table.LOGS-H-1-7.a=b",
		wire.TableKeys("LOGS-H-1-7"):                "table.LOGS-H-1-7.*",
		wire.LeafName("a.b", "W", "S"):              "a=b.W.S",
		wire.Layout{Hub: "H", Number: 3}.Stream(11): "LOGS-H-3-11",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, subject := range []string{"", "part.1.2", "part.1.2.a.b", "logs.1.2.a", "part.1.2.", "part.1.2.*"} {
		if host, err := wire.HostOfPart(subject); !errors.Is(err, wire.ErrHost) {
			t.Errorf("subject %q is taken for host %q: %v", subject, host, err)
		}
	}
	for _, subject := range []string{"", "hello", "hello.", "hello.a.b", "logs.a", "hello.>"} {
		if host, err := wire.HostOfHello(subject); !errors.Is(err, wire.ErrHost) {
			t.Errorf("subject %q is taken for host %q: %v", subject, host, err)
		}
	}
	for _, name := range []string{"", "a", "a.b", "a..c", "a.b.", "a.b.c.d", "=.b.c"} {
		if host, _, _, err := wire.ParseLeafName(name); err == nil {
			t.Errorf("leaf name %q is taken for host %q", name, host)
		}
	}
}

// TestPartitionsAreStable pins the function: a host that moved would leave its chain behind in another stream.
func TestPartitionsAreStable(t *testing.T) {
	for host, want := range map[string]int{"web1": 0, "web2": 1, "db.example.com": 0, "a": 4} {
		if got := wire.Partition(host, 8); got != want {
			t.Errorf("%s is in partition %d, want %d", host, got, want)
		}
	}
}

// FuzzHost: a valid host goes through token, subjects and leaf name and comes back as it was; nothing else comes back at all.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"web1", "web1.example.com", "a..b", "a=b", "../x", "a_b-c", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if host, err := wire.HostOfToken(s); err == nil && (wire.ValidHost(host) != nil || wire.HostToken(host) != s) {
			t.Fatalf("token %q gives host %q, whose token is %q", s, host, wire.HostToken(host))
		}
		if host, writer, session, err := wire.ParseLeafName(s); err == nil && wire.LeafName(host, writer, session) != s {
			t.Fatalf("leaf name %q is not that of %q %q %q", s, host, writer, session)
		}
		if wire.ValidHost(s) != nil {
			return
		}
		if token := wire.HostToken(s); strings.ContainsAny(token, ". *>/\r\n\t") {
			t.Fatalf("token %q is more than one", token)
		}
		for _, got := range []func() (string, error){
			func() (string, error) { return wire.HostOfToken(wire.HostToken(s)) },
			func() (string, error) { return wire.HostOfPart(wire.PartSubject(1, wire.Partition(s, 8), s)) },
			func() (string, error) { return wire.HostOfHello(wire.HelloSubject(s)) },
			func() (string, error) { h, _, _, err := wire.ParseLeafName(wire.LeafName(s, "W", "S")); return h, err },
		} {
			if host, err := got(); err != nil || host != s {
				t.Fatalf("host %q comes back as %q: %v", s, host, err)
			}
		}
	})
}
