package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// metadata is the instance metadata service, with tokens (IMDSv2) only.
type metadata struct{ client *imds.Client }

func newMetadata(sdk awssdk.Config, endpoint string) metadata {
	return metadata{imds.NewFromConfig(sdk, func(o *imds.Options) {
		if endpoint != "" {
			o.Endpoint = endpoint
		}
		o.EnableFallback = awssdk.FalseTernary
	})}
}

// identity is who an instance is.
type identity struct {
	instance string
	name     string
	host     string
	region   string
	zone     string
}

// identify takes from the config what stands there.
func (m metadata) identify(ctx context.Context, cfg Config) (identity, error) {
	id := identity{name: cfg.Name, host: cfg.Host}
	var err error
	if id.instance, err = m.must(ctx, "instance-id"); err != nil {
		return identity{}, err
	}
	if id.zone, err = m.must(ctx, "placement/availability-zone"); err != nil {
		return identity{}, err
	}
	if id.region, err = m.must(ctx, "placement/region"); err != nil {
		return identity{}, err
	}
	if id.name == "" {
		id.name = id.instance
	}
	if id.host == "" {
		id.host, err = m.address(ctx)
	}
	return id, err
}

func (m metadata) address(ctx context.Context) (string, error) {
	ip, err := m.get(ctx, "local-ipv4")
	if err == nil && ip == "" {
		ip, err = m.get(ctx, "ipv6")
	}
	if err != nil {
		return "", err
	}
	if !isIP(ip) {
		return "", fmt.Errorf("instance metadata: neither local-ipv4 nor ipv6 is an address, but %q", ip)
	}
	return ip, nil
}

func (m metadata) must(ctx context.Context, path string) (string, error) {
	value, err := m.get(ctx, path)
	if err == nil && value == "" {
		return "", fmt.Errorf("instance metadata has no %s", path)
	}
	return value, err
}

// get is "" when there is no such entry.
func (m metadata) get(ctx context.Context, path string) (string, error) {
	out, err := m.client.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() == http.StatusNotFound {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read instance metadata %s: %w (is this an EC2 instance with the metadata service enabled, and its hop limit 2 or more in a container?)", path, err)
	}
	defer out.Content.Close()
	text, err := io.ReadAll(io.LimitReader(out.Content, 64<<10))
	if err != nil {
		return "", fmt.Errorf("read instance metadata %s: %w", path, err)
	}
	return strings.TrimSpace(string(text)), nil
}
