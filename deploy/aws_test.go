package deploy_test

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/logdrive/logdrive/cluster/aws"
)

// stack is the template as CloudFormation would make it of the values given.
func stack(t *testing.T) template {
	t.Helper()
	tmpl := readTemplate(t)
	return template{"Resources": tmpl.resolve(t, tmpl["Resources"], map[string]string{"BinarySha256": strings.Repeat("0", 64)})}
}

// policy is one of the role's, by its name.
func policy(t *testing.T, s template, name string) (statements []any) {
	t.Helper()
	for _, p := range s.properties(t, "NodeRole", "Policies").([]any) {
		if at(t, p, "PolicyName") == name {
			return at(t, p, "PolicyDocument", "Statement").([]any)
		}
	}
	t.Fatalf("the role has no policy %s", name)
	return nil
}

func actions(t *testing.T, statements []any) (all []string) {
	t.Helper()
	for _, s := range statements {
		switch a := at(t, s, "Action").(type) {
		case string:
			all = append(all, a)
		case []any:
			for _, one := range a {
				all = append(all, one.(string))
			}
		}
	}
	slices.Sort(all)
	return all
}

func TestTheRoleMayDoWhatTheCodeDoes(t *testing.T) {
	s := stack(t)
	called, told, allowed := calls(t, "cluster/aws"), documented(t, "cluster/aws"), actions(t, policy(t, s, "node"))
	if !slices.Equal(allowed, called) {
		t.Errorf("the role may %q, the code calls %q", allowed, called)
	}
	if !slices.Equal(told, called) {
		t.Errorf("cluster/aws/doc.go names %q, the code calls %q", told, called)
	}
	if got, want := actions(t, policy(t, s, "setup")), []string{"s3:GetObject", "ssm:GetParameter"}; !slices.Equal(got, want) {
		t.Errorf("the setup may %q, it does %q", got, want)
	}
	if n := len(s.properties(t, "NodeRole", "Policies").([]any)); n != 2 {
		t.Errorf("the role has %d policies", n)
	}
}

func TestTheRoleMayDoItToItsOwnOnly(t *testing.T) {
	s := stack(t)
	want := map[string]string{
		"dynamodb":    "arn:table",
		"autoscaling": "arn:aws:autoscaling:eu-central-1:1234:autoScalingGroup:*:autoScalingGroupName/" + s.properties(t, "Hub", "AutoScalingGroupName").(string),
		"s3":          "arn:aws:s3:::binaries/logdrive/1",
		"ssm":         "arn:aws:ssm:eu-central-1:1234:parameter/logdrive/secret",
	}
	for _, statement := range slices.Concat(policy(t, s, "node"), policy(t, s, "setup")) {
		for _, action := range actions(t, []any{statement}) {
			service, _, _ := strings.Cut(action, ":")
			if got := at(t, statement, "Resource"); got != want[service] {
				t.Errorf("%s on %v, want %s", action, got, want[service])
			}
			if service == "dynamodb" {
				keys := at(t, statement, "Condition", "ForAllValues:StringEquals", "dynamodb:LeadingKeys")
				if got := config(t, s)["cluster"]; fmt.Sprint(keys) != "["+got+"]" {
					t.Errorf("%s on rows of %v, those of the cluster are %s", action, keys, got)
				}
			}
		}
	}
}

func TestTheTableHasTheKeysOfTheCode(t *testing.T) {
	s := stack(t)
	for i, key := range []struct{ attribute, kind string }{{"attrCluster", "HASH"}, {"attrName", "RANGE"}} {
		schema := s.properties(t, "NodesTable", "KeySchema", i)
		name := constantText(t, "cluster/aws", key.attribute)
		if at(t, schema, "AttributeName") != name || at(t, schema, "KeyType") != key.kind {
			t.Errorf("key %d is %v, want %s %s", i, schema, name, key.kind)
		}
		if definition := s.properties(t, "NodesTable", "AttributeDefinitions", i); at(t, definition, "AttributeName") != name || at(t, definition, "AttributeType") != "S" {
			t.Errorf("attribute %d is %v, want %s S", i, definition, name)
		}
	}
	if got, want := s.properties(t, "NodesTable", "TimeToLiveSpecification", "AttributeName"), constantText(t, "cluster/aws", "attrExpires"); got != want {
		t.Errorf("rows expire by %v, want %s", got, want)
	}
	if s.properties(t, "NodesTable", "BillingMode") != "PAY_PER_REQUEST" || s.properties(t, "NodesTable", "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled") != "true" {
		t.Error("the table has provisioned capacity or no recovery")
	}
}

// config are the settings that an instance is given.
func config(t *testing.T, s template) map[string]string {
	t.Helper()
	settings := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^([a-z-]+): (.*)$`).FindAllStringSubmatch(between(t, userData(t, s), "/etc/logdrive/hub.yaml <<'END'\n"), -1) {
		settings[line[1]] = line[2]
	}
	return settings
}

func userData(t *testing.T, s template) string {
	t.Helper()
	return s.properties(t, "NodeTemplate", "LaunchTemplateData", "UserData").(string)
}

// between is a file that the setup writes.
func between(t *testing.T, text, begin string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, begin)
	file, _, ended := strings.Cut(rest, "\nEND\n")
	if !found || !ended {
		t.Fatalf("the setup has no %q that ends", begin)
	}
	return file + "\n"
}

func TestNodesFindEachOther(t *testing.T) {
	s := stack(t)
	settings := config(t, s)
	peers, err := url.Parse(strings.Trim(settings["peers"], "[]'"))
	must(t, err)
	hook := s.properties(t, "Hub", "LifecycleHookSpecificationList", 0)
	for what, pair := range map[string][2]any{
		"table": {peers.Host, "the-NodesTable"},
		"group": {peers.Query().Get("group"), s.properties(t, "Hub", "AutoScalingGroupName")},
		"hook":  {peers.Query().Get("hook"), at(t, hook, "LifecycleHookName")},
	} {
		if pair[0] != pair[1] {
			t.Errorf("nodes are told %s %v, it is %v", what, pair[0], pair[1])
		}
	}
	if at(t, hook, "LifecycleTransition") != "autoscaling:EC2_INSTANCE_TERMINATING" {
		t.Errorf("hook is %v", hook)
	}
	if settings["nodes"] != at(t, map[string]any(readTemplate(t)), "Parameters", "Nodes", "AllowedValues", 0) {
		t.Errorf("%s nodes found the hub, there may be fewer", settings["nodes"])
	}
}

func TestPortsAreOpenToThoseWhoNeedThem(t *testing.T) {
	s := stack(t)
	settings := config(t, s)
	port := func(setting string) string {
		_, port, found := strings.Cut(settings[setting], ":")
		if !found {
			t.Errorf("%s is %q", setting, settings[setting])
		}
		return port
	}
	got := map[string]string{}
	for _, rule := range s.properties(t, "NodeSecurityGroup", "SecurityGroupIngress").([]any) {
		got[at(t, rule, "FromPort").(string)+"-"+at(t, rule, "ToPort").(string)] = at(t, rule, "CidrIp").(string)
	}
	route := s.properties(t, "RouteIngress")
	got[at(t, route, "FromPort").(string)+"-"+at(t, route, "ToPort").(string)] = at(t, route, "SourceSecurityGroupId").(string)
	leaf, client, cluster := port("leaf-listen"), port("listen"), port("cluster-listen")
	want := map[string]string{leaf + "-" + leaf: given["AgentCidr"], client + "-" + client: given["ReceiverCidr"], cluster + "-" + cluster: "the-NodeSecurityGroup"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("open are %v, want %v", got, want)
	}
	if at(t, route, "GroupId") != "the-NodeSecurityGroup" {
		t.Errorf("routes are open at %v", at(t, route, "GroupId"))
	}
	if !strings.HasPrefix(settings["http-listen"], "127.0.0.1:") {
		t.Errorf("metrics and pprof are at %s, for everybody who reaches the port", settings["http-listen"])
	}
	for name, r := range s["Resources"].(map[string]any) {
		if kind := at(t, r, "Type"); kind == "AWS::EC2::SecurityGroupIngress" && name != "RouteIngress" {
			t.Errorf("%s opens more", name)
		}
	}
}

func TestInstancesAreClosed(t *testing.T) {
	s := stack(t)
	data := s.properties(t, "NodeTemplate", "LaunchTemplateData")
	if at(t, data, "MetadataOptions", "HttpTokens") != "required" {
		t.Error("metadata is read without tokens")
	}
	for _, disk := range at(t, data, "BlockDeviceMappings").([]any) {
		if at(t, disk, "Ebs", "Encrypted") != "true" || at(t, disk, "Ebs", "DeleteOnTermination") != "true" {
			t.Errorf("disk %v is not encrypted, or outlives its node", disk)
		}
	}
	smallest, err := strconv.ParseInt(at(t, map[string]any(readTemplate(t)), "Parameters", "VolumeSize", "MinValue").(string), 10, 64)
	must(t, err)
	if smallest<<30 < holding() {
		t.Errorf("a store may have %d GiB, and come to hold %s", smallest, humanize.IBytes(uint64(holding())))
	}
}

// The group never has fewer instances in service than the hub has nodes, and takes one at a time.
func TestUpdatesKeepTheQuorum(t *testing.T) {
	tmpl := readTemplate(t)
	hub := tmpl["Resources"].(map[string]any)["Hub"]
	rolling := at(t, hub, "UpdatePolicy", "AutoScalingRollingUpdate")
	for what, v := range map[string]any{
		"MinInstancesInService": at(t, rolling, "MinInstancesInService"),
		"MinSize":               at(t, hub, "Properties", "MinSize"),
		"DesiredCapacity":       at(t, hub, "Properties", "DesiredCapacity"),
		"signals":               at(t, hub, "CreationPolicy", "ResourceSignal", "Count"),
	} {
		if fmt.Sprint(v) != "map[Ref:Nodes]" {
			t.Errorf("%s is %v, want the number of nodes", what, v)
		}
	}
	most, err := strconv.Atoi(at(t, hub, "Properties", "MaxSize").(string))
	must(t, err)
	for _, n := range at(t, map[string]any(tmpl), "Parameters", "Nodes", "AllowedValues").([]any) {
		if nodes, err := strconv.Atoi(n.(string)); err != nil || nodes%2 == 0 || nodes >= most {
			t.Errorf("%v nodes of at most %d: it takes an odd number, and one more during an update", n, most)
		}
	}
	if at(t, rolling, "MaxBatchSize") != "1" || at(t, rolling, "WaitOnResourceSignals") != "true" {
		t.Errorf("update is %v", rolling)
	}
	if at(t, hub, "Properties", "HealthCheckType") != "EC2" || at(t, hub, "Properties", "InstanceMaintenancePolicy", "MinHealthyPercentage") != "100" {
		t.Error("an instance is replaced by what does not know the hub, or ends before its replacement is there")
	}
}

func TestTimesOfTheGroup(t *testing.T) {
	s := stack(t)
	cfg := aws.DefaultConfig()
	seconds, err := strconv.Atoi(s.properties(t, "Hub", "LifecycleHookSpecificationList", 0, "HeartbeatTimeout").(string))
	must(t, err)
	if heartbeat := time.Duration(seconds) * time.Second; heartbeat < 3*(cfg.ExtendEvery+cfg.Timeout)+cfg.PollEvery {
		t.Errorf("the hook waits %s, it is told to go on waiting every %s: three may be lost", heartbeat, cfg.ExtendEvery)
	}
	wait := regexp.MustCompile(`--retry-max-time (\d+)`).FindStringSubmatch(userData(t, s))
	if wait == nil {
		t.Fatal("the setup does not wait until the node serves")
	}
	for what, limit := range map[string]any{
		"PauseTime": at(t, s["Resources"], "Hub", "UpdatePolicy", "AutoScalingRollingUpdate", "PauseTime"),
		"Timeout":   at(t, s["Resources"], "Hub", "CreationPolicy", "ResourceSignal", "Timeout"),
	} {
		minutes, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(limit.(string), "PT"), "M"))
		must(t, err)
		if minutes*60 < 5*60+atoi(t, wait[1]) {
			t.Errorf("%s is %v: a node has %s s to serve, after it was started and set up", what, limit, wait[1])
		}
	}
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}
