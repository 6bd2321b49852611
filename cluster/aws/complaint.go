package aws

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
)

// complaint says what a person can do about an error of AWS.
type complaint struct{ table, region string }

// remedies by the codes of errors; %s is the permission that the call needs.
var remedies = []struct {
	codes  []string
	remedy string
}{
	{
		[]string{"AccessDeniedException", "AccessDenied", "UnauthorizedOperation"},
		"the role of the instance lacks the permission %s",
	},
	{
		[]string{"ExpiredTokenException", "ExpiredToken", "RequestExpired"},
		"the credentials for %s have expired: those of an instance's role are renewed by themselves, session tokens in environment or files are not; or the clock of this machine is off",
	},
	{
		[]string{"UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken", "MissingAuthenticationTokenException"},
		"the credentials for %s are not valid: check key and secret, and the clock of this machine",
	},
	{
		[]string{"ThrottlingException", "Throttling", "ProvisionedThroughputExceededException", "RequestLimitExceeded"},
		"AWS throttles %s: a table with provisioned capacity needs more of it, or on-demand capacity",
	},
}

// about names the call, what it was for, and the remedy where there is one.
func (c complaint) about(doing, permission string, err error) error {
	if remedy := c.remedy(permission, err); remedy != "" {
		return fmt.Errorf("%s: %s: %w", doing, remedy, err)
	}
	return fmt.Errorf("%s (%s): %w", doing, permission, err)
}

func (c complaint) remedy(permission string, err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		if strings.Contains(err.Error(), "get credentials") || strings.Contains(err.Error(), "get identity") {
			return fmt.Sprintf("no credentials for %s: give the instance a role that allows it", permission)
		}
		return ""
	}
	for _, r := range remedies {
		if slices.Contains(r.codes, api.ErrorCode()) {
			return fmt.Sprintf(r.remedy, permission)
		}
	}
	if !strings.HasPrefix(permission, "dynamodb:") {
		return ""
	}
	switch api.ErrorCode() {
	case "ResourceNotFoundException":
		return fmt.Sprintf("there is no table %s in region %s", c.table, c.region)
	case "ValidationException":
		return fmt.Sprintf("table %s must have the partition key %s and the sort key %s, both strings", c.table, attrCluster, attrName)
	}
	return ""
}
