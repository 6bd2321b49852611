package deploy_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// commandLines are what the runbook has people type, those that go on in the next line joined.
func commandLines(t *testing.T) (lines []string) {
	t.Helper()
	text := strings.ReplaceAll(read(t, "README.md"), "\\\n", " ")
	for _, block := range regexp.MustCompile("(?m)^ {4}(.*)$|`([^`]+)`").FindAllStringSubmatch(text, -1) {
		line, _, _ := strings.Cut(block[1]+block[2], "  #")
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

func TestRunbookSaysWhatTheProgramTakes(t *testing.T) {
	checked := 0
	for _, line := range commandLines(t) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "logdrive" {
			continue
		}
		end := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "-") })
		if end < 0 {
			end = len(words)
		}
		text := help(t, words[1:end]...)
		if !strings.HasPrefix(text, "NAME:\n   "+strings.Join(words[:end], " ")+" - ") {
			t.Errorf("%s: there is no such command\n%s", line, text)
		}
		for _, word := range words[end:] {
			if name, isFlag := strings.CutPrefix(word, "--"); isFlag && !regexp.MustCompile(`(?m)^   --`+name+`\b`).MatchString(text) {
				t.Errorf("%s: there is no --%s", line, name)
			}
		}
		checked++
	}
	if checked < 7 {
		t.Errorf("only %d commands were found", checked)
	}
}

func TestRunbookMakesTheStack(t *testing.T) {
	var stack string
	for _, line := range commandLines(t) {
		if strings.Contains(line, "aws cloudformation deploy --stack-name") {
			stack = line
		}
	}
	said := map[string]bool{}
	for _, pair := range regexp.MustCompile(` ([A-Z]\w+)=`).FindAllStringSubmatch(stack, -1) {
		said[pair[1]] = true
	}
	parameters := readTemplate(t)["Parameters"].(map[string]any)
	for name, parameter := range parameters {
		if _, has := parameter.(map[string]any)["Default"]; !has && !said[name] {
			t.Errorf("the stack is made without %s", name)
		}
	}
	for name := range said {
		if parameters[name] == nil {
			t.Errorf("there is no parameter %s", name)
		}
	}
}

// The hook that holds the last nodes of a stack that is deleted has the name that the runbook takes it away by.
func TestRunbookNamesTheHook(t *testing.T) {
	s := stack(t)
	want := "aws autoscaling delete-lifecycle-hook --auto-scaling-group-name " + s.properties(t, "Hub", "AutoScalingGroupName").(string) +
		" --lifecycle-hook-name " + s.properties(t, "Hub", "LifecycleHookSpecificationList", 0, "LifecycleHookName").(string)
	if !slices.Contains(commandLines(t), want) {
		t.Errorf("the runbook does not say %q", want)
	}
}
