// Package e2e tests the built binary: one promise a file, with processes that are killed, frozen and cut off.
//
// The fixtures: fixture_test.go builds the binary once, role_test.go runs a process of it, site_test.go joins hub, receiver and
// agent with a proxy on each link, source_test.go writes logs and remembers every byte, archive_test.go compares them with an
// archive, view_test.go reads the hub, invariants_test.go checks what must hold after whatever happened. For several receivers with many agents there is
// fleet_test.go, for hubs of several nodes nodes_test.go; fleet_watch_test.go follows their records meanwhile, fleet_check_test.go checks their archives together.
//
// Every random choice comes from a seed that is logged; LOGDRIVE_SEED=N plays it again. LOGDRIVE_CHAOS=full makes the chaos tests ten times as long,
// LOGDRIVE_E2E_KEEP=1 keeps the directories of tests that failed.
package e2e
