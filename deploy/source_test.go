package deploy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/receiver"
)

// sources are the files of a package, without its tests.
func sources(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	must(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		must(t, err)
		files = append(files, file)
	}
	return files
}

// constant is the expression that a constant of a package stands for.
func constant(t *testing.T, dir, name string) (found ast.Expr) {
	t.Helper()
	for _, file := range sources(t, dir) {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok {
				if at := slices.IndexFunc(spec.Names, func(id *ast.Ident) bool { return id.Name == name }); at >= 0 && at < len(spec.Values) {
					found = spec.Values[at]
				}
			}
			return found == nil
		})
	}
	if found == nil {
		t.Fatalf("package %s has no constant %s any more", dir, name)
	}
	return found
}

func constantText(t *testing.T, dir, name string) string {
	t.Helper()
	literal, ok := constant(t, dir, name).(*ast.BasicLit)
	if !ok {
		t.Fatalf("constant %s of %s is no literal", name, dir)
	}
	text, err := strconv.Unquote(literal.Value)
	must(t, err)
	return text
}

// constantTime reads constants such as 30 * time.Second.
func constantTime(t *testing.T, dir, name string) time.Duration {
	t.Helper()
	units := map[string]time.Duration{"Second": time.Second, "Minute": time.Minute}
	if product, ok := constant(t, dir, name).(*ast.BinaryExpr); ok && product.Op == token.MUL {
		count, isNumber := product.X.(*ast.BasicLit)
		unit, isUnit := product.Y.(*ast.SelectorExpr)
		if isNumber && isUnit && units[unit.Sel.Name] > 0 {
			n, err := strconv.Atoi(count.Value)
			must(t, err)
			return time.Duration(n) * units[unit.Sel.Name]
		}
	}
	t.Fatalf("constant %s of %s is no number of seconds or minutes", name, dir)
	return 0
}

// ending is how long a process may take to end after SIGTERM: a receiver hands over, a hub answers who asks, hands over what it leads, and closes its streams.
func ending(t *testing.T) time.Duration {
	t.Helper()
	return receiver.DefaultConfig().DrainTime + cluster.DefaultHubConfig().HelloTimeout + constantTime(t, "cluster", "apiTimeout") + constantTime(t, "cluster", "stopTimeout")
}

// holding is how many bytes a store may come to hold: all streams, and what the account may use beside them.
func holding() int64 {
	cfg := cluster.DefaultHubConfig()
	return int64(cfg.Partitions)*cfg.StreamBytes + 1<<30
}

// calls are the permissions that the calls of the AWS SDK in a package need.
func calls(t *testing.T, dir string) (actions []string) {
	t.Helper()
	for _, file := range sources(t, dir) {
		ast.Inspect(file, func(n ast.Node) bool {
			input, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if kind, ok := input.Type.(*ast.SelectorExpr); ok && strings.HasSuffix(kind.Sel.Name, "Input") {
				if service := kind.X.(*ast.Ident).Name; service != "imds" { // asks the instance, which needs no permission
					actions = append(actions, service+":"+strings.TrimSuffix(kind.Sel.Name, "Input"))
				}
			}
			return true
		})
	}
	slices.Sort(actions)
	return slices.Compact(actions)
}

// documented are the permissions that a package's doc.go names.
func documented(t *testing.T, dir string) []string {
	t.Helper()
	actions := regexp.MustCompile(`\b[a-z]+:[A-Z]\w+`).FindAllString(read(t, filepath.Join("..", dir, "doc.go")), -1)
	slices.Sort(actions)
	return slices.Compact(actions)
}
