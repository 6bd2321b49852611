package aws_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// sdkConfig has credentials that nobody checks but for their form, and a back-off that tests can wait for.
func sdkConfig() awssdk.Config {
	return awssdk.Config{
		Region: "eu-central-1",
		Credentials: awssdk.CredentialsProviderFunc(func(context.Context) (awssdk.Credentials, error) {
			return awssdk.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", SessionToken: "token"}, nil
		}),
		Retryer: func() awssdk.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 2, 10*time.Millisecond })
		},
	}
}

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/eu-central-1/(\w+)/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}$`)

// checkSignature refuses a request that AWS would refuse by its form.
func checkSignature(t testing.TB, r *http.Request, service string) {
	t.Helper()
	parts := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if parts == nil {
		t.Errorf("request to %s has the authorization %q", service, r.Header.Get("Authorization"))
		return
	}
	if parts[1] != service {
		t.Errorf("request to %s is signed for %s", service, parts[1])
	}
	signed := strings.Split(parts[2], ";")
	for _, header := range []string{"host", "x-amz-date", "x-amz-security-token"} {
		if !slices.Contains(signed, header) {
			t.Errorf("request to %s has signed %q, not %s", service, signed, header)
		}
	}
	if _, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date")); err != nil {
		t.Errorf("request to %s: date: %v", service, err)
	}
	if r.Header.Get("X-Amz-Security-Token") != "token" {
		t.Errorf("request to %s has the session token %q", service, r.Header.Get("X-Amz-Security-Token"))
	}
}

// instance is the metadata service of an instance, which answers nobody without a token.
type instance struct {
	t      testing.TB
	server *httptest.Server

	mu      sync.Mutex // guards what follows
	entries map[string]string
	tokens  map[string]bool
	asked   map[string]int
	issued  int
	down    bool
	noToken bool
}

func newInstance(t testing.TB, id, ip string) *instance {
	i := &instance{t: t, tokens: map[string]bool{}, asked: map[string]int{}, entries: map[string]string{
		"instance-id": id, "local-ipv4": ip, "placement/availability-zone": "eu-central-1b", "placement/region": "eu-central-1",
	}}
	i.server = httptest.NewServer(i)
	t.Cleanup(i.server.Close)
	return i
}

// set changes an entry; "" removes it.
func (i *instance) set(path, value string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.entries[path] = value
}

// revoke makes all tokens invalid, as a restart of the service does.
func (i *instance) revoke() {
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.tokens)
}

// fail makes the service answer nothing but an error that is not worth a retry.
func (i *instance) fail(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// refuse makes the service issue no tokens, as one that is limited by a firewall.
func (i *instance) refuse(refuses bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.noToken = refuses
}

func (i *instance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	path, isData := strings.CutPrefix(r.URL.Path, "/latest/meta-data/")
	i.asked[path]++
	switch {
	case i.down:
		w.WriteHeader(http.StatusBadRequest)
	case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
		i.issue(w, r)
	case r.Method != http.MethodGet || !isData:
		i.t.Errorf("metadata is asked %s %s", r.Method, r.URL.Path)
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") == "":
		i.t.Errorf("metadata is asked for %s without a token", path)
		w.WriteHeader(http.StatusUnauthorized)
	case !i.tokens[r.Header.Get("X-Aws-Ec2-Metadata-Token")]:
		w.WriteHeader(http.StatusUnauthorized)
	case i.entries[path] == "":
		w.WriteHeader(http.StatusNotFound)
	default:
		_, _ = w.Write([]byte(i.entries[path]))
	}
}

func (i *instance) issue(w http.ResponseWriter, r *http.Request) {
	ttl := r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds")
	if i.noToken {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if n, err := strconv.Atoi(ttl); err != nil || n < 1 || n > 21600 {
		i.t.Errorf("a token is asked for %q seconds", ttl)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	i.issued++
	token := fmt.Sprintf("token-%d", i.issued)
	i.tokens[token] = true
	w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl)
	_, _ = w.Write([]byte(token))
}

// autoScaling is the API of Auto Scaling, for the group "hubs" with the hook "leave".
type autoScaling struct {
	t      testing.TB
	server *httptest.Server

	mu    sync.Mutex // guards what follows
	calls []string   // each as the encoded form without version
	fault string     // code of the error to answer
}

func newAutoScaling(t testing.TB) *autoScaling {
	a := &autoScaling{t: t}
	a.server = httptest.NewServer(a)
	t.Cleanup(a.server.Close)
	return a
}

func (a *autoScaling) fail(code string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = code
}

// take gives the calls since the last time.
func (a *autoScaling) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	calls := a.calls
	a.calls = nil
	return calls
}

func (a *autoScaling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	checkSignature(a.t, r, "autoscaling")
	if r.Method != http.MethodPost || r.URL.Path != "/" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		a.t.Errorf("Auto Scaling is asked %s %s as %s", r.Method, r.URL, r.Header.Get("Content-Type"))
	}
	if err := r.ParseForm(); err != nil {
		a.t.Errorf("Auto Scaling is asked no form: %v", err)
	}
	action := r.PostForm.Get("Action")
	if err := checkAction(action, r.PostForm); err != nil {
		a.t.Error(err)
	}
	r.PostForm.Del("Version")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, r.PostForm.Encode())
	w.Header().Set("Content-Type", "text/xml")
	if a.fault != "" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><Error><Type>Sender</Type><Code>%s</Code><Message>no</Message></Error><RequestId>1</RequestId></ErrorResponse>`, a.fault)
		return
	}
	_, _ = fmt.Fprintf(w, `<%[1]sResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><%[1]sResult/><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></%[1]sResponse>`, action)
}

// required parameters of each action; there must be no others.
var required = map[string][]string{
	"SetInstanceHealth":              {"Action", "HealthStatus", "InstanceId", "ShouldRespectGracePeriod", "Version"},
	"RecordLifecycleActionHeartbeat": {"Action", "AutoScalingGroupName", "InstanceId", "LifecycleHookName", "Version"},
	"CompleteLifecycleAction":        {"Action", "AutoScalingGroupName", "InstanceId", "LifecycleActionResult", "LifecycleHookName", "Version"},
}

func checkAction(action string, form url.Values) error {
	var names []string
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	if !slices.Equal(names, required[action]) {
		return fmt.Errorf("action %q has the parameters %q, want %q", action, names, required[action])
	}
	if form.Get("Version") != "2011-01-01" {
		return fmt.Errorf("action %q is of version %q", action, form.Get("Version"))
	}
	return nil
}
