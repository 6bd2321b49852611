package deploy_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// machine is a directory that the setup of an instance takes for /, with stand-ins for what is not there.
type machine struct {
	t    *testing.T
	root string
	said string // file with the calls of the stand-ins
}

// standIn writes down how it was called, and then does something.
func (m machine) standIn(name, does string) {
	m.t.Helper()
	write(m.t, filepath.Join(m.root, name), "#!/bin/bash\necho \""+filepath.Base(name)+" $*\" >>"+m.said+"\n"+does+"\n")
}

func newMachine(t *testing.T, binary string) machine {
	t.Helper()
	root := t.TempDir()
	m := machine{t: t, root: root, said: filepath.Join(root, "said")}
	for _, dir := range []string{"etc/systemd/system", "usr/local/bin", "var/lib", "tmp"} {
		must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	for _, name := range []string{"useradd", "udevadm", "mkfs.xfs", "mount", "systemctl", "curl"} {
		m.standIn("bin/"+name, "")
	}
	m.standIn("bin/blkid", "exit 2") // an empty disk
	m.standIn("bin/aws", `case "$1" in
  ssm) echo "the secret" ;;
  s3) cp `+binary+` "${@: -1}" ;;
esac`)
	m.standIn("opt/aws/bin/cfn-signal", "")
	return m
}

// run is what user data does on an instance, below the machine's root.
func (m machine) run(script string) error {
	m.t.Helper()
	script = regexp.MustCompile(`([ '>])/(etc|usr|var|opt)/`).ReplaceAllString(script, "${1}"+m.root+"/${2}/")
	cmd := exec.Command("bash", write(m.t, filepath.Join(m.root, "user-data"), script))
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(m.root, "bin")+":"+os.Getenv("PATH"), "TMPDIR="+filepath.Join(m.root, "tmp"))
	out, err := cmd.CombinedOutput()
	m.t.Logf("%s", out)
	return err
}

// script is the user data for a binary of a sum.
func script(t *testing.T, sum string) string {
	t.Helper()
	tmpl := readTemplate(t)
	resources := tmpl.resolve(t, tmpl["Resources"], map[string]string{"BinarySha256": sum})
	return userData(t, template{"Resources": resources})
}

func TestSetupOfAnInstance(t *testing.T) {
	binary := program(t)
	sum := sha256.Sum256([]byte(read(t, binary)))
	data := script(t, hex.EncodeToString(sum[:]))
	if len(data) > 16<<10 {
		t.Errorf("user data has %d bytes, EC2 takes 16 KiB", len(data))
	}
	m := newMachine(t, binary)
	must(t, m.run(data))

	secret := filepath.Join(m.root, "etc/logdrive/secret")
	if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o600 || read(t, secret) != "the secret\n" {
		t.Errorf("secret: %v, %v", info, err)
	}
	unit := read(t, filepath.Join(m.root, "etc/systemd/system/logdrive-hub.service"))
	if shared := read(t, "systemd/logdrive-hub.service"); strings.ReplaceAll(unit, m.root, "") != shared {
		t.Errorf("the unit is not systemd/logdrive-hub.service:\n%s", unit)
	}
	said := read(t, m.said)
	for _, want := range []string{
		"mkfs.xfs -L logdrive /dev/sdf", "mount " + m.root + "/var/lib/logdrive",
		"aws ssm get-parameter --region eu-central-1 --name /logdrive/secret --with-decryption", "aws s3 cp --only-show-errors s3://binaries/logdrive/1",
		"systemctl enable --now --no-block logdrive-hub.service", "http://127.0.0.1:9100/readyz",
		"cfn-signal --exit-code 0 --stack logs --resource Hub --region eu-central-1",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the setup does not say %q", want)
		}
	}

	// What systemd would start: the unit's command, with the config that the setup has written.
	start := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindStringSubmatch(unit)[1]
	args := strings.Fields(start) // with the paths of the machine itself
	if installed := read(t, filepath.Join(m.root, args[0])); installed != read(t, binary) {
		t.Errorf("%s is not what was fetched", args[0])
	}
	file := filepath.Join(m.root, "etc/logdrive/hub.yaml")
	must(t, os.WriteFile(file, []byte(strings.ReplaceAll(read(t, file), ":9100", ":0")), 0o600))
	hubStarts(t, nil, with(t, args[1:], "secret", secret)...)
}

func TestSetupOfAnInstanceInstallsNoOtherBinary(t *testing.T) {
	m := newMachine(t, "/bin/true")
	var exit *exec.ExitError
	if err := m.run(script(t, strings.Repeat("0", 64))); !errors.As(err, &exit) {
		t.Errorf("a binary of another sum: %v", err)
	}
	if _, err := os.Stat(filepath.Join(m.root, "usr/local/bin/logdrive")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was installed: %v", err)
	}
	if said := read(t, m.said); !strings.Contains(said, "cfn-signal --exit-code 1 ") || strings.Contains(said, "enable") {
		t.Errorf("CloudFormation is not told, or the unit was started:\n%s", said)
	}
}

// A node that runs where it was set up is not made anew by a second look at its disk.
func TestSetupOfAnInstanceKeepsAStore(t *testing.T) {
	m := newMachine(t, program(t))
	m.standIn("bin/blkid", "exit 0")
	_ = m.run(script(t, strings.Repeat("0", 64)))
	if said := read(t, m.said); !strings.Contains(said, "blkid /dev/sdf") || strings.Contains(said, "mkfs") {
		t.Errorf("a disk that is not empty was formatted:\n%s", said)
	}
}
