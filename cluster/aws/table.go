package aws

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/logdrive/logdrive/cluster"
)

// Attributes of a row.
const (
	attrCluster     = "cluster"
	attrName        = "name"
	attrAddress     = "address"      // host:port of the cluster listener
	attrVersion     = "version"      // counts the writes of the node: it lives while this changes
	attrSession     = "session"      // random, made by each process
	attrInstance    = "instance"     // for people, as are the next two
	attrZone        = "zone"         //
	attrWritten     = "written"      // wall clock of the node; never compared
	attrState       = "state"        //
	attrReason      = "reason"       // the last one given: it stays when the state changes
	attrReasonState = "reason_state" // the state that it was given for
	attrReasonAt    = "reason_at"    // wall clock of the node
	attrExpires     = "expires"      // TTL, in seconds since 1970: when DynamoDB may delete what all nodes left behind
)

// table is one cluster's part of the DynamoDB table, and the row of this node in it.
type table struct {
	db        *dynamodb.Client
	name      string // of the table
	cluster   string
	id        identity
	address   string
	session   string
	expires   time.Duration
	status    cluster.Status // that the row shall have
	since     time.Time      // of the status
	mine      bool           // the row was written by this process
	complaint complaint
}

// row is a node as the table has it.
type row struct {
	name, address, session string
	version                int64
	state                  cluster.State
	reason                 string
}

func newTable(sdk awssdk.Config, cfg Config, id identity) *table {
	return &table{
		db: dynamodb.NewFromConfig(sdk, func(o *dynamodb.Options) {
			if cfg.Endpoints.DynamoDB != "" {
				o.BaseEndpoint = &cfg.Endpoints.DynamoDB
			}
		}),
		name: cfg.Table, cluster: cfg.Cluster, id: id,
		address: net.JoinHostPort(id.host, strconv.Itoa(cfg.Port)),
		session: rand.Text(),
		// Nodes delete dead rows themselves; this is for a cluster of which none is left.
		expires:   2 * cfg.ForgetAfter,
		status:    cluster.Status{State: cluster.Starting},
		since:     time.Now(),
		complaint: complaint{table: cfg.Table, region: sdk.Region},
	}
}

// say changes the status that is written.
func (t *table) say(s cluster.Status) {
	if s != t.status {
		t.status, t.since = s, time.Now()
	}
}

// beat writes the row: the first time that this node is there, then that it lives. What others wrote to it stays. It is an error when another
// process writes the same row, since two nodes would be counted as one.
func (t *table) beat(ctx context.Context) error {
	set := map[string]types.AttributeValue{
		attrAddress: text(t.address), attrSession: text(t.session), attrInstance: text(t.id.instance), attrZone: text(t.id.zone),
		attrWritten: text(stamp(time.Now())), attrState: text(string(t.status.State)),
		attrExpires: number(time.Now().Add(t.expires).Unix()),
	}
	if t.status.Reason != "" {
		set[attrReason], set[attrReasonState], set[attrReasonAt] = text(t.status.Reason), text(string(t.status.State)), text(stamp(t.since))
	}
	expression, names, values := update(set)
	out, err := t.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &t.name, Key: t.key(t.id.name), UpdateExpression: &expression,
		ExpressionAttributeNames: names, ExpressionAttributeValues: values, ReturnValues: types.ReturnValueAllOld,
	})
	if err != nil {
		return t.complaint.about("write the row of "+t.id.name, "dynamodb:UpdateItem", err)
	}
	before := textOf(out.Attributes, attrSession)
	if t.mine && before != "" && before != t.session {
		return fmt.Errorf("row %s of cluster %s in table %s: another process writes it too: end it, or give one of them another name", t.id.name, t.cluster, t.name)
	}
	t.mine = true
	return nil
}

// update sets attributes and counts the version, whatever the row was before. All names are given by reference: many are words of DynamoDB's own.
func update(set map[string]types.AttributeValue) (expression string, names map[string]string, values map[string]types.AttributeValue) {
	names = map[string]string{"#version": attrVersion}
	values = map[string]types.AttributeValue{":one": number(1)}
	for attr, value := range set {
		if expression != "" {
			expression += ", "
		}
		expression += "#" + attr + " = :" + attr
		names["#"+attr], values[":"+attr] = attr, value
	}
	return "SET " + expression + " ADD #version :one", names, values
}

// rows reads all of the cluster's, each as of after the call began.
func (t *table) rows(ctx context.Context) ([]row, error) {
	pages := dynamodb.NewQueryPaginator(t.db, &dynamodb.QueryInput{
		TableName: &t.name, ConsistentRead: awssdk.Bool(true), KeyConditionExpression: awssdk.String("#cluster = :cluster"),
		ExpressionAttributeNames:  map[string]string{"#cluster": attrCluster},
		ExpressionAttributeValues: map[string]types.AttributeValue{":cluster": text(t.cluster)},
	})
	var rows []row
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, t.complaint.about("read cluster "+t.cluster, "dynamodb:Query", err)
		}
		for _, item := range page.Items {
			r, err := parseRow(item)
			if err != nil {
				return nil, fmt.Errorf("row %s of cluster %s in table %s is no node's: %w", r.name, t.cluster, t.name, err)
			}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// remove deletes a row if it is still as it was seen, and says whether: not when its node lives again and has written to it, nor when another node was faster.
func (t *table) remove(ctx context.Context, r row) (bool, error) {
	_, err := t.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &t.name, Key: t.key(r.name),
		ConditionExpression:       awssdk.String("#version = :version AND #session = :session"),
		ExpressionAttributeNames:  map[string]string{"#version": attrVersion, "#session": attrSession},
		ExpressionAttributeValues: map[string]types.AttributeValue{":version": number(r.version), ":session": text(r.session)},
	})
	var changed *types.ConditionalCheckFailedException
	if errors.As(err, &changed) {
		return false, nil
	}
	if err != nil {
		return false, t.complaint.about("delete the row of "+r.name, "dynamodb:DeleteItem", err)
	}
	return true, nil
}

func (t *table) key(name string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{attrCluster: text(t.cluster), attrName: text(name)}
}

func parseRow(item map[string]types.AttributeValue) (row, error) {
	r := row{
		name: textOf(item, attrName), address: textOf(item, attrAddress), session: textOf(item, attrSession),
		state: cluster.State(textOf(item, attrState)), reason: textOf(item, attrReason),
	}
	if _, _, err := net.SplitHostPort(r.address); err != nil {
		return r, fmt.Errorf("%s: %w", attrAddress, err)
	}
	n, ok := item[attrVersion].(*types.AttributeValueMemberN)
	if !ok {
		return r, fmt.Errorf("%s is no number", attrVersion)
	}
	var err error
	if r.version, err = strconv.ParseInt(n.Value, 10, 64); err != nil {
		return r, fmt.Errorf("%s: %w", attrVersion, err)
	}
	return r, nil
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func textOf(item map[string]types.AttributeValue, attr string) string {
	if s, ok := item[attr].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
