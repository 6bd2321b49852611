// Package deploy holds no code, but what runs logdrive elsewhere: a container image (Dockerfile), hubs on Fly.io (fly/) and on EC2 (aws/), a unit for systemd
// (systemd/), and the runbook for them (README.md).
//
// Its tests hold these files against the program: the program takes every command line and config in them, ports, paths, names and times agree between the files and with
// the code, the permissions are those of the calls that the code makes, and the setup of an instance is run, with stand-ins for the tools of AWS and systemd.
// Not shown: that Fly.io and AWS take the files. Nothing was deployed.
package deploy
