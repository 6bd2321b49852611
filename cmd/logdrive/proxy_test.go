package main

import (
	"net/url"
	"testing"
)

func TestProxyOfAHub(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://secure.example:3128") // read once in a process: no other test may ask before
	t.Setenv("HTTP_PROXY", "http://plain.example:3128")
	t.Setenv("NO_PROXY", "near.example")
	for _, c := range []struct{ flag, hub, want string }{
		{"", "wss://hub.example:443", "http://secure.example:3128"},
		{"", "ws://hub.example:80", "http://plain.example:3128"},
		{"", "wss://near.example:443", ""},
		{"", "nats-leaf://hub.example:7422", ""},
		{"http://own.example:8080", "nats-leaf://hub.example:7422", "http://own.example:8080"},
		{"http://me:secret@own.example:8080", "wss://near.example:443", "http://me:secret@own.example:8080"},
		{"none", "wss://hub.example:443", ""},
	} {
		choose, err := proxyFunc(c.flag)
		if err != nil {
			t.Fatal(err)
		}
		hub, _ := url.Parse(c.hub)
		got := ""
		if choose != nil {
			if proxy, err := choose(hub); err != nil {
				t.Error(err)
			} else if proxy != nil {
				got = proxy.String()
			}
		}
		if got != c.want {
			t.Errorf("--proxy %q, hub %s: got %q, want %q", c.flag, c.hub, got, c.want)
		}
	}
	for _, flag := range []string{"socks5://x:1", "x:1", "http://", "://"} {
		if _, err := proxyFunc(flag); err == nil {
			t.Errorf("--proxy %q was taken", flag)
		}
	}
}
