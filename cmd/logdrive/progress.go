package main

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// showProgress draws, on a terminal, how much of what is pending has been shipped, until the returned function is called. In a pipe it is silent.
func showProgress(pending func() int64) (stop func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		drawProgress(pending, quit)
	}()
	return func() {
		close(quit)
		<-done
	}
}

// drawProgress lets the bar's end follow what is found: a file may grow while it is shipped.
func drawProgress(pending func() int64, quit <-chan struct{}) {
	bar := progressbar.DefaultBytes(1, "shipping")
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var most int64
	for {
		select {
		case <-quit:
			_ = bar.Finish()
			return
		case <-tick.C:
			now := pending()
			if now > most {
				most = now
				bar.ChangeMax64(most)
			}
			_ = bar.Set64(most - now)
		}
	}
}
