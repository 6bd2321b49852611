package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/urfave/cli/v2"
)

// A shorter lease than minLease ends between two looks of the hub at its keys; one longer than maxLease would leave a dead receiver's partitions alone for
// minutes.
const minLease, maxLease = 500 * time.Millisecond, time.Minute

// maxWord is the most bytes of a name or a zone: they stand in tables and in every renewal of a lease.
const maxWord = 64

// checkMember tells what is wrong with the flags of a receiver among others.
func checkMember(c *cli.Context) error {
	var err error
	if lease := c.Duration("lease"); lease < minLease || lease > maxLease {
		err = fmt.Errorf("--lease %s: between %s and %s are possible", lease, minLease, maxLease)
	}
	return errors.Join(err, checkWord("--name", c.String("name")), checkWord("--zone", c.String("zone")))
}

// checkWord lets through what can be written behind a command without quotes.
func checkWord(flag, word string) error {
	if len(word) > maxWord {
		return fmt.Errorf("%s %.20q…: %d bytes are too many, %d are possible", flag, word, len(word), maxWord)
	}
	odd := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if strings.HasPrefix(word, "-") || strings.ContainsFunc(word, odd) {
		return fmt.Errorf("%s %q: write one word that does not begin with a dash", flag, word)
	}
	return nil
}

// shortID is how much of an archive's random id keeps the receivers of one machine apart.
const shortID = 6

// receiverName is the flag's, or the system's with the beginning of the archive's id: it stays the same as long as the archive does.
func receiverName(flag, archive string) string {
	if flag != "" {
		return flag
	}
	short := archive[:min(shortID, len(archive))]
	host, err := os.Hostname()
	if err != nil || host == "" {
		return short
	}
	host, _, _ = strings.Cut(host, ".")
	return host + "-" + strings.ToLower(short)
}
