// Numbers that travel as base64. All are little-endian, as are the machines that browsers run on.

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

const uint16s = (text) => new Uint16Array(bytesOf(text).buffer);
const uint32s = (text) => new Uint32Array(bytesOf(text).buffer);
const floats = (text) => new Float32Array(bytesOf(text).buffer);

// IEEE 754 binary16; older browsers have no Float16Array.
function halfFloats(text, scale) {
  const codes = uint16s(text);
  const values = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i];
    const sign = code & 0x8000 ? -1 : 1;
    const exponent = (code >> 10) & 31;
    const fraction = code & 1023;
    if (exponent === 31) values[i] = fraction ? NaN : sign * Infinity;
    else if (exponent === 0) values[i] = sign * scale * fraction * 2 ** -24;
    else values[i] = sign * scale * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return values;
}
