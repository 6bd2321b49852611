// Package aws is the adapter for EC2 instances: they find each other in a DynamoDB table, and tell Auto Scaling how they are.
//
// The walk of a peer: the instance metadata service says who this instance is (metadata.go). Each call of Peers writes this node's row,
// and then reads all rows of the cluster (adapter.go, table.go); whose row changes from one look to another lives (watch.go). Report writes state and reason to the row
// (report.go), and the Auto Scaling group is told that the instance is healthy or to be replaced, and its lifecycle hook to wait while the node leaves and to go on when it has
// left (group.go). Ending waits for the announcement that the instance ends: by Auto Scaling, or as a spot instance (ending.go). Errors say which permission is missing, and what
// else a person can do (complaint.go).
//
// Guarantees: who reads has written before, and reads consistently, all pages: of nodes that start in the same second none is overlooked by all the others. Peers is
// complete or an error. Nobody's wall clock is compared with another's: a node is dead when its row has not changed for DeadAfter while this node looked, at least three times.
// A row is deleted only as it was when its node was found dead: one that lives again keeps it. State and the last reason stay readable in the row after the node has died, for ForgetAfter.
// An instance is given up as unhealthy only while all other live nodes work and are most of the cluster: nodes that are broken together, as those that lost their quorum, are never replaced by empty ones.
//
// Not guaranteed: that the rows there at the first look are judged at once. Until each has changed or was quiet for DeadAfter, Peers is an error. A clean end
// that comes without a lifecycle hook, as a terminate by hand does, is announced nowhere.
//
// The role of the instance needs dynamodb:UpdateItem, dynamodb:Query and dynamodb:DeleteItem on the table, and with an Auto Scaling group autoscaling:SetInstanceHealth,
// with a hook also autoscaling:RecordLifecycleActionHeartbeat and autoscaling:CompleteLifecycleAction on it.
//
// Self, Peers and Report take turns; Ending, called by one goroutine, blocks beside them.
//
//	cfg := aws.DefaultConfig()
//	cfg.Cluster, cfg.Table, cfg.Nodes, cfg.Logger = "logs", "logdrive-nodes", 3, log
//	cfg.Group, cfg.Hook = "logdrive-hubs", "leave"
//	a, err := aws.New(cfg)
package aws
