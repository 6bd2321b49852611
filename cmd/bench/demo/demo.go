package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/logdrive/logdrive/cmd/bench/proc"
)

const (
	host        = "demo"
	lookEvery   = 200 * time.Millisecond
	stopWithin  = 30 * time.Second
	equalWithin = 60 * time.Second
)

// ErrDiffers says that archive and sources are not equal.
var ErrDiffers = errors.New("archive and sources differ")

// Config says what to show.
type Config struct {
	Binary string    // logdrive
	Dir    string    // archive, state and the growing log go below it
	Paths  []string  // log files to ship; none: those of this machine
	Out    io.Writer // the story
}

// demo is one showing.
type demo struct {
	cfg     Config
	view    *view
	grower  *grower
	process *proc.Process // logdrive, while it runs
	paths   []string
	ended   time.Time // logdrive was told to end; zero before
}

// Run shows and judges. It returns ErrDiffers, wrapped, if a single byte is not as it must be. Nothing is left running.
func Run(ctx context.Context, cfg Config) error {
	d := &demo{cfg: cfg, view: newView(cfg.Out, filepath.Join(cfg.Dir, "archive"))}
	if err := d.prepare(); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	go d.grower.run()
	err := d.story(ctx)
	if d.process != nil {
		err = errors.Join(err, d.process.Kill())
	}
	if err != nil {
		return fmt.Errorf("demo: %w", errors.Join(err, d.grower.finish()))
	}
	return d.end()
}

func (d *demo) prepare() error {
	logs := filepath.Join(d.cfg.Dir, "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	found := "given"
	if d.paths = d.cfg.Paths; len(d.paths) == 0 {
		d.paths, found = findLogs(usualPlaces()), "of this machine"
	}
	growing := filepath.Join(logs, "growing.log")
	d.view.say("Shipping %d log files %s, and %s, which grows by 2,000 lines a second.", len(d.paths), found, growing)
	d.paths = append(d.paths, growing)
	var err error
	d.grower, err = newGrower(host, growing)
	return err
}

// story is what happens, one thing after the other.
func (d *demo) story(ctx context.Context) error {
	for _, scene := range []func(context.Context) error{
		d.start, d.watch(3 * time.Second),
		d.rotate("Rotating the growing log, as logrotate does."), d.watch(2 * time.Second),
		d.kill, d.watch(500 * time.Millisecond),
		d.rotate("Rotating again while nobody looks."), d.watch(500 * time.Millisecond),
		d.start, d.watch(3 * time.Second),
		d.catchUp, d.stop,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) start(context.Context) error {
	d.view.say("Starting: %s up --archive %s PATH...", filepath.Base(d.cfg.Binary), d.view.archive)
	args := append([]string{"up", "--host", host, "--archive", d.view.archive, "--state", filepath.Join(d.cfg.Dir, "state")}, d.paths...)
	var err error
	d.process, err = proc.Start("logdrive", filepath.Join(d.cfg.Dir, "logdrive.log"), d.cfg.Binary, args...)
	return err
}

func (d *demo) kill(context.Context) error {
	d.view.say("Killing logdrive: kill -9 %d.", d.process.PID())
	err := d.process.Kill()
	d.process = nil
	return err
}

func (d *demo) rotate(what string) func(context.Context) error {
	return func(context.Context) error {
		d.view.say("%s", what)
		return d.grower.rotateNow()
	}
}

// watch shows what arrives for a while.
func (d *demo) watch(span time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		for until := time.Now().Add(span); time.Now().Before(until); {
			if err := d.pause(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// pause looks, and waits for the next look.
func (d *demo) pause(ctx context.Context) error {
	if err := d.view.look(); err != nil {
		return err
	}
	var gone <-chan struct{}
	if d.process != nil {
		gone = d.process.Done()
	}
	select {
	case <-time.After(lookEvery):
		return nil
	case <-gone:
		return fmt.Errorf("logdrive ended: %w", errors.Join(d.process.Wait(), errors.New("nobody stopped it")))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// catchUp ends the writing and waits until all is archived. If that never happens, the verdict will say what is missing.
func (d *demo) catchUp(ctx context.Context) error {
	if err := d.grower.finish(); err != nil {
		return err
	}
	d.view.say("The growing log has %s lines now. Waiting until all is archived.", humanize.Comma(int64(d.grower.writer.Lines())))
	for until := time.Now().Add(equalWithin); time.Now().Before(until); {
		if err := d.pause(ctx); err != nil {
			return err
		}
		if all, err := judge(d.view.archive, d.paths, time.Time{}); err == nil && faults(all) == 0 {
			return nil
		}
	}
	return nil
}

func (d *demo) stop(context.Context) error {
	d.ended = time.Now()
	err := d.process.Stop(stopWithin)
	d.process = nil
	return err
}

// end judges and prints the verdict.
func (d *demo) end() error {
	d.view.wipe()
	all, err := judge(d.view.archive, d.paths, d.ended)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	var bytes int64
	for _, v := range all {
		d.tell(v)
		bytes += v.bytes
	}
	w := d.grower.writer
	report, err := checkNumbers(d.view.archive, w.Path(), w.Origin(), w.Lines())
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.view.say("Growing log, rotated twice, logdrive killed once: %d lines, %d lost, %d doubled, %d torn, %d reordered.",
		report.Lines, report.Lost, report.Doubled, report.Torn, report.Reordered)
	if n := faults(all); n > 0 || !report.Clean() {
		d.view.say("NOT EQUAL: %d of %d sources differ.", n, len(all))
		return fmt.Errorf("demo: %w", ErrDiffers)
	}
	d.view.say("EQUAL: %d sources, %s, archive and sources are the same byte for byte.", len(all), humanize.IBytes(uint64(bytes)))
	return nil
}

func (d *demo) tell(v verdict) {
	switch {
	case v.fault != "":
		d.view.say("  DIFFERS %10s  %s: %s", humanize.IBytes(uint64(v.bytes)), v.path, v.fault)
	case v.later > 0:
		d.view.say("  equal   %10s  %s (%s more were written after logdrive had ended)", humanize.IBytes(uint64(v.bytes)), v.path, humanize.IBytes(uint64(v.later)))
	default:
		d.view.say("  equal   %10s  %s", humanize.IBytes(uint64(v.bytes)), v.path)
	}
}
