// Package tail turns log files into batches of chunks with exact positions.
package tail
