// Package logdrive_test checks what no compiler does: which package may import which.
package logdrive_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/logdrive/logdrive/"

// allowed is the whole of it: a package imports of ours what stands here, and nothing else.
var allowed = map[string][]string{
	"cluster/wire":        {},
	"shipper/tail":        {},
	"receiver/assign":     {},
	"receiver/handover":   {},
	"election":            {},
	"cluster":             {"cluster/wire"},
	"cluster/clustertest": {"cluster", "cluster/wire"},
	"cluster/static":      {"cluster"},
	"cluster/dns":         {"cluster"},
	"cluster/fly":         {"cluster"},
	"cluster/aws":         {"cluster"},
	"shipper/checkpoint":  {"shipper/tail"},
	"receiver/archive":    {"cluster/wire", "receiver/handover"},
	"shipper":             {"cluster/wire", "shipper/tail", "shipper/checkpoint"},
	"receiver":            {"cluster/wire", "election", "receiver/assign", "receiver/handover", "receiver/archive"},
	"deploy":              {"cluster", "cluster/aws", "receiver"}, // its tests: it has no code
}

// forTests is what tests may import beside that: real hubs, leaves, and the scenarios that whole-system tests share.
var forTests = []string{"cluster", "cluster/clustertest", "cmd/e2e/torture"}

// confined are libraries that only one part may know.
var confined = map[string]string{
	"github.com/nats-io/nats-server/": "cluster",
	"github.com/aws/aws-sdk-go-v2":    "cluster/aws",
}

func TestImports(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ".go") {
			checkFile(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkFile(t *testing.T, path string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	pkg := filepath.ToSlash(filepath.Dir(path))
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if reason := forbidden(pkg, name, strings.HasSuffix(path, "_test.go")); reason != "" {
			t.Errorf("%s imports %s: %s", path, name, reason)
		}
	}
}

// forbidden says why a package must not import another, or "".
func forbidden(pkg, name string, test bool) string {
	for library, home := range confined {
		if strings.HasPrefix(name, library) && pkg != home && !strings.HasPrefix(pkg, home+"/") {
			return "only " + home + " may"
		}
	}
	ours, ok := strings.CutPrefix(name, module)
	if !ok || strings.HasPrefix(pkg, "cmd/") || pkg == "." {
		return ""
	}
	if ours == pkg && test { // an external test of the package itself
		return ""
	}
	may, known := allowed[pkg]
	if !known {
		return "the package is not in the layout"
	}
	if slices.Contains(may, ours) || test && slices.Contains(forTests, ours) {
		return ""
	}
	return "the layout does not allow it"
}
