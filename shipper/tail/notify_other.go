//go:build !linux

package tail

// notifier tells of changes. Without one everything is polled.
type notifier struct{}

func newNotifier(func()) (*notifier, error) { return nil, nil }
func (n *notifier) watchDir(string) bool    { return false }
func (n *notifier) watchFile(string) bool   { return false }
func (n *notifier) take() ([]string, bool)  { return nil, false }
func (n *notifier) close()                  {}
