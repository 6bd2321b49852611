package archive

// SetFault makes the archive call f at every place where a crash or a failing disk makes a difference. nil: not any more.
func SetFault(f func(where string) error) { fault = f }

var (
	EncodeSource = encodeSource
	DecodeSource = decodeSource
	ParseRotated = parseRotated
	RotatedName  = rotatedName
)
