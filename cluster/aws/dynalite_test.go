package aws_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// stopDynalite ends what startDynalite started.
var stopDynalite = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	stopDynalite()
	os.Exit(code)
}

// startDynalite runs the emulator, one for all tests, and gives its URL.
var startDynalite = sync.OnceValues(func() (string, error) {
	dir, err := installDynalite()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("node", "serve.js")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	stdin, err := cmd.StdinPipe() // its end ends the emulator, also when this process is killed
	if err != nil {
		return "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	stopDynalite = func() { _, _ = stdin.Close(), cmd.Wait() }
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("dynalite does not say its port: %w", err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port), nil
})

// installDynalite puts the pinned versions into a cache, once for as long as they stay the same.
func installDynalite() (string, error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", err
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	files, err := filepath.Glob("testdata/dynalite/*")
	if err != nil {
		return "", err
	}
	files = append(files, "testdata/dynalite/.npmrc")
	hash := sha256.New()
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		hash.Write(content)
	}
	dir := filepath.Join(cache, "logdrive-test", fmt.Sprintf("dynalite-%x", hash.Sum(nil)[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	making, err := os.MkdirTemp(filepath.Dir(dir), "making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(making)
	if err := os.CopyFS(making, os.DirFS("testdata/dynalite")); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = making
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if err := os.Rename(making, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return dir, nil
}

// database is the emulator with a table of the test's own in it, and faults where the test wants some.
type database struct {
	t      testing.TB
	url    string
	table  string
	client *dynamodb.Client

	mu     sync.Mutex // guards what follows
	faults map[string]fault
	hooks  map[string]func(body string)
	calls  []string // bodies of requests, by "Operation body"
}

type fault struct {
	status int
	code   string
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	emulator, err := startDynalite()
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("the DynamoDB emulator cannot run here: %v", err)
	}
	if err != nil {
		t.Fatalf("the DynamoDB emulator cannot run: %v", err)
	}
	target, err := url.Parse(emulator)
	if err != nil {
		t.Fatal(err)
	}
	d := &database{t: t, table: "nodes-" + rand.Text(), faults: map[string]fault{}, hooks: map[string]func(string){}}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.serve(w, r, proxy) }))
	t.Cleanup(server.Close)
	d.url = server.URL
	d.client = dynamodb.NewFromConfig(sdkConfig(), func(o *dynamodb.Options) { o.BaseEndpoint = &emulator })
	d.create()
	return d
}

// serve passes a request on, if it is signed and there is no fault for it.
func (d *database) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	checkSignature(d.t, r, "dynamodb")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Errorf("read a request: %v", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	d.mu.Lock()
	fault, fails := d.faults[operation]
	d.calls = append(d.calls, operation+" "+string(body))
	hook := d.hooks[operation]
	d.mu.Unlock()
	if hook != nil {
		hook(string(body))
	}
	if !fails {
		next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(fault.status)
	_, _ = fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"no"}`, fault.code)
}

// fail makes an operation ("Query") fail; heal ends all faults.
func (d *database) fail(operation string, status int, code string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults[operation] = fault{status, code}
}

// before calls do before each request of an operation is passed on.
func (d *database) before(operation string, do func(body string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hooks[operation] = do
}

func (d *database) heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.faults)
}

// asked lists what was asked of an operation.
func (d *database) asked(operation string) (bodies []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, call := range d.calls {
		if body, is := strings.CutPrefix(call, operation+" "); is {
			bodies = append(bodies, body)
		}
	}
	return bodies
}

func (d *database) create() {
	d.t.Helper()
	_, err := d.client.CreateTable(context.Background(), &dynamodb.CreateTableInput{
		TableName: &d.table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: awssdk.String("cluster"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: awssdk.String("name"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: awssdk.String("cluster"), KeyType: types.KeyTypeHash},
			{AttributeName: awssdk.String("name"), KeyType: types.KeyTypeRange},
		},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	soon := func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second }
	if err := dynamodb.NewTableExistsWaiter(d.client, soon).Wait(context.Background(), &dynamodb.DescribeTableInput{TableName: &d.table}, time.Minute); err != nil {
		d.t.Fatal(err)
	}
}

// row reads a node's, with numbers as text; nil when there is none.
func (d *database) row(name string) map[string]string {
	d.t.Helper()
	out, err := d.client.GetItem(context.Background(), &dynamodb.GetItemInput{
		TableName: &d.table, ConsistentRead: awssdk.Bool(true),
		Key: map[string]types.AttributeValue{"cluster": &types.AttributeValueMemberS{Value: "logs"}, "name": &types.AttributeValueMemberS{Value: name}},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	if out.Item == nil {
		return nil
	}
	row := map[string]string{}
	for attr, value := range out.Item {
		switch v := value.(type) {
		case *types.AttributeValueMemberS:
			row[attr] = v.Value
		case *types.AttributeValueMemberN:
			row[attr] = v.Value
		}
	}
	return row
}

// put writes a row by hand.
func (d *database) put(item map[string]types.AttributeValue) {
	d.t.Helper()
	if _, err := d.client.PutItem(context.Background(), &dynamodb.PutItemInput{TableName: &d.table, Item: item}); err != nil {
		d.t.Fatal(err)
	}
}
