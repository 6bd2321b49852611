package aws_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/logdrive/logdrive/cluster"
	"github.com/logdrive/logdrive/cluster/clustertest"
)

// fleet is hub nodes as processes, each an instance of its own of one Auto Scaling group.
type fleet struct {
	t      *testing.T
	dir    string
	binary string
	db     *database
	group  *autoScaling
	nodes  []*process
}

type process struct {
	*instance
	id, client, log string
	cmd             *exec.Cmd
	ended           chan struct{}
	err             error // of the process; read after ended is closed
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), db: newDatabase(t), group: newAutoScaling(t)}
	f.binary = filepath.Join(f.dir, "logdrive")
	if out, err := exec.Command("go", "build", "-o", f.binary, "../../cmd/logdrive").CombinedOutput(); err != nil {
		t.Fatalf("build logdrive: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "secret"), []byte("secret of the hub\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// launch starts the next instance and does not wait for it.
func (f *fleet) launch(port string) {
	f.t.Helper()
	number := len(f.nodes) + 1
	ip := fmt.Sprintf("127.0.20.%d", number)
	n := &process{id: fmt.Sprintf("i-%d", number), client: freePort(f.t), ended: make(chan struct{})}
	n.instance = newInstance(f.t, n.id, ip)
	n.set("placement/availability-zone", "eu-central-1"+string("abc"[len(f.nodes)%3]))
	n.log = filepath.Join(f.dir, n.id+".log")
	log, err := os.Create(n.log)
	if err != nil {
		f.t.Fatal(err)
	}
	defer log.Close()
	n.cmd = exec.Command(f.binary, "hub", "--store", filepath.Join(f.dir, n.id), "--secret", filepath.Join(f.dir, "secret"), "--partitions", "2", "--stream-size", "8MiB",
		"--nodes", "3", "--cluster", "logs", "--cluster-listen", net.JoinHostPort(ip, port), "--listen", net.JoinHostPort("127.0.0.1", n.client), "--leaf-listen", ip+":0",
		"--peers", "aws://"+f.db.table+"?group=hubs&hook=leave&poll-every=200ms&dead-after=9s")
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_SESSION_TOKEN=token", "AWS_REGION=",
		"AWS_ENDPOINT_URL_DYNAMODB="+f.db.url, "AWS_ENDPOINT_URL_AUTO_SCALING="+f.group.server.URL, "AWS_EC2_METADATA_SERVICE_ENDPOINT="+n.server.URL,
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	if err := n.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.nodes = append(f.nodes, n)
	go func() {
		defer close(n.ended)
		n.err = n.cmd.Wait()
	}()
	f.t.Cleanup(func() { f.end(n) })
}

func (f *fleet) end(n *process) {
	_ = n.cmd.Process.Kill() // it may have ended
	<-n.ended
	if data, err := os.ReadFile(n.log); f.t.Failed() && err == nil {
		f.t.Logf("log of %s:\n%s", n.id, data)
	}
}

// members asks a node, as an operator does.
func (f *fleet) members(n *process) (names []string) {
	out, err := exec.Command(f.binary, "hub", "members", "--hub", "nats://"+net.JoinHostPort("127.0.0.1", n.client), "--secret", filepath.Join(f.dir, "secret"), "--json").Output()
	var m cluster.Members
	if err != nil || json.Unmarshal(out, &m) != nil || m.Leader == "" {
		return nil
	}
	for _, k := range m.Members {
		if k.Current {
			instance, _, _ := strings.Cut(strings.TrimPrefix(k.Name, "i-"), "-")
			names = append(names, "i-"+instance)
		}
	}
	return names
}

// holds waits until all the nodes say that these are the members.
func (f *fleet) holds(what string, nodes []*process) {
	f.t.Helper()
	var want []string
	for _, n := range nodes {
		want = append(want, n.id)
	}
	for _, n := range nodes {
		clustertest.Until(f.t, fmt.Sprintf("%s: %s names the members %v", what, n.id, want), func() bool {
			return fmt.Sprint(f.members(n)) == fmt.Sprint(want)
		})
	}
}

var freePorts sync.Mutex

func freePort(t *testing.T) string {
	t.Helper()
	freePorts.Lock()
	defer freePorts.Unlock()
	_, port, err := net.SplitHostPort(clustertest.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestGroupOfHubs(t *testing.T) {
	if testing.Short() {
		t.Skip("four processes")
	}
	f := newFleet(t)
	port := freePort(t)
	for range 3 {
		f.launch(port)
	}
	f.holds("started in the same second", f.nodes)
	for _, n := range f.nodes {
		clustertest.Until(t, n.id+" says that it works", func() bool { return f.db.row(n.id)["state"] == string(cluster.Working) })
	}
	f.launch(port)
	f.holds("a fourth came", f.nodes)

	// Auto Scaling takes the first away; what it is told at the end fails at first.
	leaver := f.nodes[0]
	f.group.fail("InternalFailure")
	leaver.set("autoscaling/target-lifecycle-state", "Terminated")
	completed := func() bool {
		return slices.ContainsFunc(f.group.take(), func(call string) bool {
			return strings.Contains(call, "CompleteLifecycleAction") && strings.Contains(call, "InstanceId=i-1")
		})
	}
	clustertest.Until(t, "Auto Scaling is told that the node has left", completed)
	f.group.fail("")
	clustertest.Until(t, "Auto Scaling is told again", completed)
	select {
	case <-leaver.ended:
	case <-time.After(2 * clustertest.Patience):
		t.Fatal("the node does not end")
	}
	if leaver.err != nil {
		t.Errorf("the node that has left ended with %v", leaver.err)
	}
	if state := f.db.row(leaver.id)["state"]; state != string(cluster.Left) {
		t.Errorf("the row of the node that has left says %q", state)
	}
	f.holds("the first has left", f.nodes[1:])
}
