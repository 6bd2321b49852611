package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// head is the last message of a chain. Sequence 0: there is none.
type head struct {
	sequence uint64
	header   nats.Header
}

// headTimeout bounds the wait for a stream's leader. While one is elected nobody answers, also not when there is one: the agent asks again then, and others should not wait
// behind it.
const headTimeout = 3 * time.Second

// head asks the stream's leader, by STREAM.MSG.GET: a replica may not know the last batch yet. That answer carries the payload too, as
// base64 in JSON; it is cut out unread, since to decode it costs four times what all the rest of a hello does.
func (c *chain) head(ctx context.Context) (head, error) {
	ask, err := json.Marshal(map[string]string{"last_by_subj": c.subject})
	if err != nil {
		return head{}, fmt.Errorf("ask for head of %s: %w", c.subject, err)
	}
	ctx, cancel := context.WithTimeout(ctx, headTimeout)
	defer cancel()
	msg, err := c.f.js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+c.name(), ask)
	if err != nil {
		return head{}, fmt.Errorf("ask for head of %s: %w", c.subject, err)
	}
	h, err := decodeHead(msg.Data)
	if err != nil {
		return head{}, fmt.Errorf("read head of %s: %w", c.subject, err)
	}
	return h, nil
}

func decodeHead(data []byte) (head, error) {
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Sequence uint64 `json:"seq"`
			Headers  []byte `json:"hdrs"`
		} `json:"message"`
	}
	if err := json.Unmarshal(withoutPayload(data), &answer); err != nil {
		return head{}, err
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return head{}, nil
		}
		return head{}, answer.Error
	}
	h := head{sequence: answer.Message.Sequence}
	if len(answer.Message.Headers) == 0 {
		return h, nil
	}
	header, err := nats.DecodeHeadersMsg(answer.Message.Headers)
	h.header = header
	return h, err
}

// withoutPayload cuts the value of the field data out of an answer. Subjects hold no quotes and the headers are base64, so the
// field's name stands nowhere else.
func withoutPayload(answer []byte) []byte {
	field := []byte(`"data":"`)
	start := bytes.Index(answer, field)
	if start < 0 {
		return answer
	}
	start += len(field)
	end := bytes.IndexByte(answer[start:], '"')
	if end < 0 {
		return answer
	}
	return append(answer[:start:start], answer[start+end:]...)
}
