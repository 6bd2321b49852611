package checkpoint

// Encode and Decode are what stands in the file.
var (
	Encode = encode
	Decode = decode
)
