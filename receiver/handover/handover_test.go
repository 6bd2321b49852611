package handover_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/logdrive/logdrive/receiver/handover"
	"pgregory.net/rapid"
)

// TestNothingIsLostOrDoubled lets three archives hand a partition to and fro, with kills, late and lost writes, purges and restored disks; whenever all that
// ends, every byte is in exactly one archive.
func TestNothingIsLostOrDoubled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(allRules)
		for range 80 {
			w.step(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") })
			if fault := w.settle(); fault != "" {
				t.Fatal(fault)
			}
		}
	})
}

// TestEveryRuleIsNeeded breaks one rule at a time: the same worlds must go wrong then, or the test above proves nothing.
func TestEveryRuleIsNeeded(t *testing.T) {
	for name, breakIt := range map[string]func(*rules){
		"cut":       func(r *rules) { r.cut = false },
		"cas":       func(r *rules) { r.cas = false },
		"confirm":   func(r *rules) { r.confirm = false },
		"positions": func(r *rules) { r.positions = false },
		"heal":      func(r *rules) { r.heal = false },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken := allRules
			breakIt(&broken)
			if fault := search(broken, 30_000); fault == "" {
				t.Fatal("no world went wrong without this rule")
			} else {
				t.Log(fault)
			}
		})
	}
}

// TestIntermediateOwner is schedule T3: A commits and its floor is lost on the way; B takes over, archives the same, moves the floor; C takes over; A returns. The start of
// C's epoch alone would let A keep what B has: the whole history must be looked at.
func TestIntermediateOwner(t *testing.T) {
	for _, history := range []bool{true, false} {
		r := allRules
		r.history = history
		w := newWorld(r)
		a, b, c := &w.nodes[0], &w.nodes[1], &w.nodes[2]
		takeOver := func(n *node) {
			n.up = true
			w.sync(n)
			w.sendTakeOver(n)
			w.land(len(w.flying)-1, true)
		}
		takeOver(a)
		w.messages = append(w.messages, message{0, 1})
		w.fetch(a)
		w.commit(a)
		takeOver(b)
		w.fetch(b)
		w.commit(b)
		w.sendFloor(b)
		w.land(len(w.flying)-1, true)
		takeOver(c)
		if fault := w.settle(); (fault == "") != history {
			t.Errorf("with the history looked at %v: %q", history, fault)
		}
	}
}

// search runs random worlds until one goes wrong. A panic is Reconcile's refusal of a history that cannot be: that is noticing, too.
func search(r rules, worlds uint64) (fault string) {
	defer func() {
		if p := recover(); p != nil {
			fault = p.(error).Error()
		}
	}()
	for seed := range worlds {
		random := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(r)
		for range 60 {
			w.step(random.IntN)
			if fault := w.settle(); fault != "" {
				return fault
			}
		}
	}
	return ""
}

func record(floor uint64, epochs ...handover.Epoch) handover.Record {
	last := epochs[len(epochs)-1]
	return handover.Record{Stream: "S", Epoch: last.Epoch, Owner: last.Owner, Floor: floor, Epochs: epochs}
}

func TestReconcile(t *testing.T) {
	type (
		held   = handover.Held
		ranges = []handover.Range
		epoch  = handover.Epoch
	)
	for name, c := range map[string]struct {
		record handover.Record
		held   []held
		want   handover.Plan
	}{
		"own and ahead of the floor": {
			record(5, epoch{1, "A", 0}), []held{{1, 0, 9}}, handover.Plan{Next: 10},
		},
		"another took over below": {
			record(5, epoch{1, "A", 0}, epoch{2, "B", 5}),
			[]held{{1, 0, 9}},
			handover.Plan{SetAside: ranges{{1, 5, 9}}, Next: 6},
		},
		"took over again at the same floor": {
			record(5, epoch{1, "A", 0}, epoch{2, "B", 5}, epoch{3, "A", 5}),
			[]held{{1, 0, 9}},
			handover.Plan{SetAside: ranges{{1, 5, 9}}, Next: 6},
		},
		"the lowest later start counts, not the latest": {
			record(8, epoch{1, "A", 0}, epoch{2, "B", 5}, epoch{3, "C", 8}),
			[]held{{1, 0, 7}},
			handover.Plan{SetAside: ranges{{1, 5, 7}}, Next: 9},
		},
		"restored, owner": {
			record(9, epoch{1, "A", 0}), []held{{1, 0, 3}}, handover.Plan{ReadAgain: ranges{{1, 3, 9}}, Next: 10},
		},
		"restored, former owner, two epochs": {
			record(20, epoch{1, "A", 0}, epoch{2, "B", 5}, epoch{3, "A", 8}, epoch{4, "B", 15}),
			[]held{{1, 0, 2}},
			handover.Plan{ReadAgain: ranges{{1, 2, 5}, {3, 8, 15}}, Next: 21},
		},
		"a stranger": {
			record(5, epoch{1, "B", 0}), nil, handover.Plan{Next: 6},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := handover.Reconcile(c.record, "A", c.held)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestReconcileRefusesWhatCannotBe(t *testing.T) {
	r := record(5, handover.Epoch{Epoch: 1, Owner: "A"}, handover.Epoch{Epoch: 2, Owner: "B", Start: 5})
	for name, held := range map[string][]handover.Held{
		"an epoch of the future": {{Epoch: 3, After: 5, To: 6}},
		"another's epoch":        {{Epoch: 2, After: 5, To: 6}},
		"another start":          {{Epoch: 1, After: 1, To: 6}},
		"backwards":              {{Epoch: 1, After: 0, To: 4}, {Epoch: 1, After: 0, To: 5}},
	} {
		if plan, err := handover.Reconcile(r, "A", held); err == nil {
			t.Errorf("%s: got %+v, want an error", name, plan)
		}
	}
}

func TestFloorNeverGoesBack(t *testing.T) {
	r := handover.Record{Stream: "S"}.TakeOver("A")
	if _, err := (handover.Record{Stream: "S"}).Advance(1); err == nil {
		t.Error("a record without owner advanced")
	}
	r, err := r.Advance(7)
	if err != nil || r.Floor != 7 {
		t.Fatalf("got %+v, %v", r, err)
	}
	if _, err := r.Advance(6); err == nil {
		t.Error("the floor went back")
	}
	released, err := r.Release(9)
	if err != nil || !released.Released || released.Floor != 9 {
		t.Fatalf("got %+v, %v", released, err)
	}
	if _, err := released.Advance(10); err == nil {
		t.Error("a released record advanced")
	}
	if r := released.Resume(); r.Released || r.Epoch != 1 || r.Floor != 9 || len(r.Epochs) != 1 {
		t.Errorf("resumed: %+v", r)
	}
	next := released.TakeOver("B")
	if next.Released || next.Epoch != 2 || next.Owner != "B" || next.Floor != 9 || next.Bound(1) != 9 || next.Bound(2) != math.MaxUint64 {
		t.Errorf("got %+v", next)
	}
	if len(released.Epochs) != 1 {
		t.Error("TakeOver changed the record it was called on")
	}
}

func TestRecordKeepsItsFormat(t *testing.T) {
	r := record(5, handover.Epoch{Epoch: 1, Owner: "A", Start: 2})
	got, err := json.Marshal(r)
	want := `{"stream":"S","created":"0001-01-01T00:00:00Z","epoch":1,"owner":"A","floor":5,"released":false,"epochs":[{"epoch":1,"owner":"A","start":2}]}`
	if err != nil || string(got) != want {
		t.Fatalf("got %s, %v", got, err)
	}
}
