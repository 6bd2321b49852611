package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"
	"gopkg.in/natefinch/lumberjack.v2"
)

// process is what every long-running command has: a log, metrics, and a way to tell that it is ready.
type process struct {
	log       *slog.Logger
	registry  *prometheus.Registry
	listener  net.Listener // of HTTP; nil: off
	portsFile string

	mu    sync.Mutex
	up    bool           // announced
	ready []func() error // what /readyz asks
}

// ports is what --ports-file holds.
type ports struct {
	Client    string `json:"client,omitempty"`    // of the hub, for receivers
	Leaf      string `json:"leaf,omitempty"`      // of the hub, for agents
	Websocket string `json:"websocket,omitempty"` // the same
	HTTP      string `json:"http,omitempty"`
	PID       int    `json:"pid"`
}

func newProcess(c *cli.Context) (*process, error) {
	log, err := newLog(c)
	if err != nil {
		return nil, err
	}
	p := &process{log: log, registry: prometheus.NewRegistry(), portsFile: c.String("ports-file")}
	p.registry.MustRegister(buildInfo(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if address := c.String("http-listen"); address != "" {
		if p.listener, err = net.Listen("tcp", address); err != nil {
			return nil, fmt.Errorf("--http-listen %s: %w", address, err)
		}
	}
	log.Info("logdrive starts", "command", c.Command.Name, "version", version, "revision", revision())
	return p, nil
}

func newLog(c *cli.Context) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", c.String("log-level"))
	}
	options := &slog.HandlerOptions{Level: level}
	if file := c.String("log-file"); file != "" {
		return slog.New(slog.NewJSONHandler(&lumberjack.Logger{Filename: file, MaxSize: 100, MaxBackups: 5, Compress: true}, options)), nil
	}
	switch format := c.String("log-format"); {
	case format == "text", format == "auto" && term.IsTerminal(int(os.Stderr.Fd())):
		return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
	case format == "json", format == "auto":
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	default:
		return nil, fmt.Errorf("--log-format %q: use text, json or auto", format)
	}
}

// serve answers HTTP until ctx ends.
func (p *process) serve(ctx context.Context) error {
	if p.listener == nil {
		<-ctx.Done()
		return nil
	}
	server := &http.Server{Handler: p.routes(), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

func (p *process) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("/readyz", p.readyz)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func (p *process) readyz(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	up, asked := p.up, slices.Clone(p.ready)
	p.mu.Unlock()
	var errs []error
	if !up {
		errs = append(errs, errors.New("starting"))
	}
	for _, ready := range asked {
		errs = append(errs, ready())
	}
	if err := errors.Join(errs...); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// ask lets /readyz ask a part of the process, too.
func (p *process) ask(ready func() error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = append(p.ready, ready)
}

// announce tells the ports file and systemd that the process is up.
func (p *process) announce(at ports) error {
	p.mu.Lock()
	p.up = true
	p.mu.Unlock()
	at.PID = os.Getpid()
	if p.listener != nil {
		at.HTTP = "http://" + p.listener.Addr().String()
	}
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		p.log.Warn("systemd is not told that this is ready", "err", err)
	}
	if p.portsFile == "" {
		return nil
	}
	data, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("write ports file: %w", err)
	}
	aside := p.portsFile + ".new"
	if err := os.WriteFile(aside, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write ports file: %w", err)
	}
	if err := os.Rename(aside, p.portsFile); err != nil {
		return fmt.Errorf("write ports file: %w", err)
	}
	return nil
}

// readSecret reads the file that --secret names.
func readSecret(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read --secret: %w", err)
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", fmt.Errorf("read --secret: %s is empty", path)
	}
	return secret, nil
}

// needSecret is readSecret for a command that cannot do without.
func needSecret(c *cli.Context) (string, error) {
	if c.String("secret") == "" {
		return "", errors.New("--secret FILE is missing: name a copy of the hub's <store>/secret")
	}
	return readSecret(c.String("secret"))
}

// absolute is the path as it stands whatever the working directory.
func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", path, err)
	}
	return abs, nil
}
