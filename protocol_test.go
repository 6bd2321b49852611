package logdrive_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// PROTOCOL.md names a test for each rule, and code names rules by their letters: both must be there.
func TestProtocolHoldsWhatItNames(t *testing.T) {
	text, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	declared, named := map[string]bool{}, map[string]string{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	rules := regexp.MustCompile(`\brules? ((?:[PHRA]\d+(?:, | and )?)+)`)
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(source, -1) {
			declared[string(m[1])] = true
		}
		for _, m := range rules.FindAllSubmatch(source, -1) {
			for _, rule := range regexp.MustCompile(`\w\d+`).FindAllString(string(m[1]), -1) {
				named[rule] = path
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`Test\w+`).FindAllString(string(text), -1) {
		if !declared[name] {
			t.Errorf("PROTOCOL.md names %s, which is nowhere", name)
		}
	}
	if len(named) < 20 {
		t.Errorf("code names %d rules only: %v", len(named), named)
	}
	for rule, path := range named {
		if !strings.Contains(string(text), "**"+rule+"**") {
			t.Errorf("%s names rule %s, which is not in PROTOCOL.md", path, rule)
		}
	}
}
