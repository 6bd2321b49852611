package deploy_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// template is a CloudFormation template: maps, slices, and texts for every scalar. A tag such as !Ref is a map with that key, as its long form is.
type template map[string]any

func readTemplate(t *testing.T) template {
	t.Helper()
	file, err := parser.ParseFile("aws/logdrive.yaml", 0)
	must(t, err)
	top, ok := plain(t, file.Docs[0].Body).(map[string]any)
	if !ok {
		t.Fatal("the template is no mapping")
	}
	return top
}

func plain(t *testing.T, n ast.Node) any {
	t.Helper()
	switch n := n.(type) {
	case *ast.MappingNode:
		m := map[string]any{}
		for _, pair := range n.Values {
			maps.Copy(m, plain(t, pair).(map[string]any))
		}
		return m
	case *ast.MappingValueNode:
		return map[string]any{n.Key.GetToken().Value: plain(t, n.Value)}
	case *ast.SequenceNode:
		s := []any{}
		for _, v := range n.Values {
			s = append(s, plain(t, v))
		}
		return s
	case *ast.TagNode:
		name := strings.TrimPrefix(n.Start.Value, "!")
		if name != "Ref" {
			name = "Fn::" + name
		}
		return map[string]any{name: plain(t, n.Value)}
	case *ast.LiteralNode:
		return n.Value.Value
	case ast.ScalarNode:
		return n.GetToken().Value
	}
	t.Fatalf("%s is of a kind that templates do not have: %T", n.GetPath(), n)
	return nil
}

// at follows keys, and numbers of sequences.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for i, step := range path {
		var ok bool
		switch step := step.(type) {
		case string:
			var m map[string]any
			if m, ok = v.(map[string]any); ok {
				v, ok = m[step]
			}
		case int:
			var s []any
			if s, ok = v.([]any); ok && step < len(s) {
				v = s[step]
			}
		}
		if !ok {
			t.Fatalf("the template has no %v", path[:i+1])
		}
	}
	return v
}

// properties are those of a resource.
func (tmpl template) properties(t *testing.T, name string, path ...any) any {
	t.Helper()
	return at(t, map[string]any(tmpl), append([]any{"Resources", name, "Properties"}, path...)...)
}

// given are what the tests give for parameters, and what AWS would for the rest.
var given = map[string]string{
	"AWS::StackName": "logs", "AWS::Region": "eu-central-1", "AWS::Partition": "aws", "AWS::AccountId": "1234",
	"VpcId": "vpc-1", "SubnetIds": "subnet-1,subnet-2,subnet-3", "Nodes": "3", "InstanceType": "m6i.large", "ImageId": "ami-1", "VolumeSize": "20",
	"BinaryUrl": "s3://binaries/logdrive/1", "SecretParameter": "/logdrive/secret", "AgentCidr": "10.1.0.0/16", "ReceiverCidr": "10.2.0.0/16",
}

// attributes are those that the template may ask for.
var attributes = map[string]string{
	"NodesTable.Arn": "arn:table", "NodeProfile.Arn": "arn:profile", "NodeTemplate.LatestVersionNumber": "1",
}

var substituted = regexp.MustCompile(`\$\{([^!}][^}]*)\}`)

// resolve does what CloudFormation does with its functions. over are values of parameters that win over those given.
func (tmpl template) resolve(t *testing.T, v any, over map[string]string) any {
	t.Helper()
	switch v := v.(type) {
	case []any:
		s := []any{}
		for _, x := range v {
			s = append(s, tmpl.resolve(t, x, over))
		}
		return s
	case map[string]any:
		for name, arg := range v {
			if len(v) == 1 && (name == "Ref" || strings.HasPrefix(name, "Fn::")) {
				return tmpl.call(t, name, arg, over)
			}
		}
		m := map[string]any{}
		for key, x := range v {
			m[key] = tmpl.resolve(t, x, over)
		}
		return m
	}
	return v
}

func (tmpl template) call(t *testing.T, name string, arg any, over map[string]string) any {
	t.Helper()
	switch name {
	case "Ref":
		return tmpl.value(t, arg.(string), over)
	case "Fn::GetAtt":
		return tmpl.value(t, arg.(string), over)
	case "Fn::Base64":
		return tmpl.resolve(t, arg, over)
	case "Fn::Split":
		return split(tmpl.resolve(t, arg, over).([]any))
	case "Fn::Select":
		args := tmpl.resolve(t, arg, over).([]any)
		return args[1].([]any)[int(args[0].(string)[0]-'0')]
	case "Fn::Sub":
		text, isText := arg.(string)
		local := maps.Clone(over)
		if local == nil {
			local = map[string]string{}
		}
		if !isText {
			text = at(t, arg, 0).(string)
			for key, x := range at(t, arg, 1).(map[string]any) {
				local[key] = tmpl.resolve(t, x, over).(string)
			}
		}
		text = substituted.ReplaceAllStringFunc(text, func(s string) string { return tmpl.value(t, s[2:len(s)-1], local) })
		return strings.ReplaceAll(text, "${!", "${")
	}
	t.Fatalf("the template calls %s, which this test does not know", name)
	return nil
}

func split(args []any) (parts []any) {
	for part := range strings.SplitSeq(args[1].(string), args[0].(string)) {
		parts = append(parts, part)
	}
	return parts
}

// value is what a name stands for. It is an error when there is no such parameter, resource or attribute.
func (tmpl template) value(t *testing.T, name string, over map[string]string) string {
	t.Helper()
	if value, ok := over[name]; ok {
		return value
	}
	resource, _, attribute := strings.Cut(name, ".")
	_, isParameter := tmpl["Parameters"].(map[string]any)[name]
	_, isResource := tmpl["Resources"].(map[string]any)[resource]
	switch value, ok := given[name]; {
	case strings.HasPrefix(name, "AWS::") && ok, isParameter && ok:
		return value
	case isResource && attribute && attributes[name] != "":
		return attributes[name]
	case isResource && !attribute:
		return "the-" + name
	}
	t.Errorf("%s is no parameter, resource or attribute", name)
	return ""
}

func TestTemplateRefersToWhatIsThere(t *testing.T) {
	tmpl := readTemplate(t)
	used := map[string]bool{}
	over := map[string]string{"BinarySha256": strings.Repeat("0", 64)}
	for _, part := range []string{"Resources", "Outputs"} {
		tmpl.resolve(t, tmpl[part], over)
		note(tmpl[part], used)
	}
	for parameter := range tmpl["Parameters"].(map[string]any) {
		if !used[parameter] {
			t.Errorf("parameter %s is used nowhere", parameter)
		}
	}
}

// note finds the names that functions use.
func note(v any, used map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			note(x, used)
		}
	case map[string]any:
		for key, x := range v {
			if text, ok := x.(string); ok && key == "Ref" {
				used[text] = true
			}
			note(x, used)
		}
	case string:
		for _, name := range substituted.FindAllStringSubmatch(v, -1) {
			used[name[1]] = true
		}
	}
}

// Parameters are checked before anything is made.
func TestTemplateParameters(t *testing.T) {
	parameters := readTemplate(t)["Parameters"].(map[string]any)
	for name, values := range map[string]struct{ right, wrong []string }{
		"BinaryUrl":       {[]string{"s3://b/logdrive", "s3://b/v1/logdrive"}, []string{"https://b/logdrive", "s3://b", "s3://b/*"}},
		"BinarySha256":    {[]string{strings.Repeat("0a", 32)}, []string{"", "latest", strings.Repeat("0A", 32)}},
		"SecretParameter": {[]string{"/logdrive/secret"}, []string{"secret", "/a b", "/a'"}},
		"AgentCidr":       {[]string{"10.0.0.0/8", "10.0.0.0/16", "10.0.0.1/32"}, []string{"0.0.0.0/0", "10.0.0.0/33", "::/0"}},
		"ReceiverCidr":    {[]string{"10.0.0.0/8"}, []string{"0.0.0.0/0"}},
	} {
		pattern := regexp.MustCompile(fmt.Sprint(at(t, parameters, name, "AllowedPattern")))
		for _, value := range slices.Concat(values.right, values.wrong) {
			if got, want := pattern.MatchString(value), slices.Contains(values.right, value); got != want {
				t.Errorf("%s %q: taken %v, want %v", name, value, got, want)
			}
		}
	}
	if kind := at(t, parameters, "ImageId", "Type"); !strings.HasPrefix(fmt.Sprint(kind), "AWS::SSM::Parameter::Value") {
		t.Errorf("image is a %s", kind)
	}
}
