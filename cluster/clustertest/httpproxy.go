package clustertest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
)

// HTTPProxy is an HTTP proxy that knows CONNECT and nothing else.
type HTTPProxy struct {
	listener net.Listener
	user     string // that it asks for; "": it asks for none
	secret   string
	running  sync.WaitGroup
	mu       sync.Mutex // guards what follows
	asked    []string
	conns    []net.Conn
}

// StartHTTPProxy listens on loopback. With a user it refuses whoever does not log in as that.
func StartHTTPProxy(t testing.TB, user, secret string) *HTTPProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &HTTPProxy{listener: l, user: user, secret: secret}
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// URL is the proxy's address, with the user to log in as.
func (p *HTTPProxy) URL() *url.URL {
	u := &url.URL{Scheme: "http", Host: p.listener.Addr().String()}
	if p.user != "" {
		u.User = url.UserPassword(p.user, p.secret)
	}
	return u
}

// Asked are the addresses that it was asked to connect to.
func (p *HTTPProxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

func (p *HTTPProxy) close() {
	p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *HTTPProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.keep(client)
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *HTTPProxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
}

func (p *HTTPProxy) serve(client net.Conn) {
	defer client.Close()
	in := bufio.NewReader(client)
	request, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	if answer := p.judge(request); answer != "" {
		_, _ = io.WriteString(client, "HTTP/1.1 "+answer+"\r\nContent-Length: 0\r\n\r\n")
		return
	}
	target, err := net.Dial("tcp", request.Host)
	if err != nil {
		_, _ = io.WriteString(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer target.Close()
	p.keep(target)
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	p.running.Go(func() {
		_, _ = io.Copy(target, in)
		target.Close()
	})
	_, _ = io.Copy(client, target)
}

// judge gives the status of a refusal, or "".
func (p *HTTPProxy) judge(r *http.Request) string {
	if r.Method != http.MethodConnect {
		return "405 Method Not Allowed"
	}
	login := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	if user, secret, _ := login.BasicAuth(); p.user != "" && (user != p.user || secret != p.secret) {
		return "407 Proxy Authentication Required"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, r.Host)
	return ""
}
