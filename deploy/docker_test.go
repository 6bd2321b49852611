package deploy_test

import (
	"debug/elf"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// imageOutput is where the build stage of the image puts the program.
const imageOutput = "/out/logdrive"

// stage is one of the Dockerfile's.
type stage struct {
	from, name string
	lines      []string // the rest of it
}

// all are the arguments of an instruction, as often as it stands there.
func (s stage) all(instruction string) (args []string) {
	for _, line := range s.lines {
		if rest, ok := strings.CutPrefix(line, instruction+" "); ok {
			args = append(args, rest)
		}
	}
	return args
}

func stages() (all []stage) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "FROM "); ok {
			from, name, _ := strings.Cut(rest, " AS ")
			all = append(all, stage{from: from, name: name})
		} else if line != "" && !strings.HasPrefix(line, "#") {
			all[len(all)-1].lines = append(all[len(all)-1].lines, line)
		}
	}
	return all
}

// imageBuild is the command that makes the program in the image.
func imageBuild() string {
	for _, s := range stages() {
		for _, command := range s.all("RUN") {
			if strings.Contains(command, "go build") {
				return command
			}
		}
	}
	return "echo the Dockerfile builds nothing; false"
}

func TestTheImageHoldsOneStaticProgram(t *testing.T) {
	all := stages()
	if len(all) != 3 || all[1].from != "scratch" || all[2].from != all[1].name {
		t.Fatalf("stages are %+v, want one that builds, one on scratch, and that with a user", all)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))[1]
	if all[0].from != "golang:"+version {
		t.Errorf("built in %s, but go.mod is for go %s", all[0].from, version)
	}
	binary := strings.TrimSuffix(strings.TrimPrefix(all[1].all("ENTRYPOINT")[0], `["`), `"]`)
	if copied := "--from=" + all[0].name + " " + imageOutput + " " + binary; !slices.Contains(all[1].all("COPY"), copied) {
		t.Errorf("entry point %s is not what was built: %q", binary, all[1].all("COPY"))
	}
	if got := all[1].all("STOPSIGNAL"); !slices.Equal(got, []string{"SIGTERM"}) {
		t.Errorf("stop signal is %q", got)
	}
	file, err := elf.Open(program(t))
	must(t, err)
	defer file.Close()
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the program asks for a dynamic linker, which an empty image does not have")
	}
}

func TestTheImageKeepsEverythingOnAVolume(t *testing.T) {
	all := stages()
	volume := all[1].all("VOLUME")[0]
	known := help(t, "hub") + help(t, "receiver") + help(t, "agent")
	for _, name := range []string{"STORE", "ARCHIVE", "STATE"} {
		set := regexp.MustCompile(`\bLOGDRIVE_` + name + `=(\S+)`).FindStringSubmatch(all[1].all("ENV")[0])
		if set == nil || !below(volume, set[1]) {
			t.Errorf("LOGDRIVE_%s is %q, not below the volume %s", name, set, volume)
			continue
		}
		if !strings.Contains(known, "$LOGDRIVE_"+name+"]") {
			t.Errorf("no command knows LOGDRIVE_%s", name)
		}
		if made := "/out" + set[1]; !strings.Contains(strings.Join(all[0].all("RUN"), "\n"), made) {
			t.Errorf("%s is not made, so a user without rights cannot write there", made)
		}
	}
}

func TestTheImageRunsWithoutRights(t *testing.T) {
	all := stages()
	last := all[len(all)-1]
	user := last.all("USER")
	if len(user) != 1 || !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user[0]) {
		t.Fatalf("user is %q, want numbers that are not root's: the image has no list of users", user)
	}
	if want := "--from=" + all[0].name + " --chown=" + user[0] + " /out/data " + all[1].all("VOLUME")[0]; !slices.Contains(last.all("COPY"), want) {
		t.Errorf("the volume is not the user's: %q, want %q", last.all("COPY"), want)
	}
	if got := all[1].all("USER"); got != nil {
		t.Errorf("stage %s has user %q: Fly's volumes are root's", all[1].name, got)
	}
}
