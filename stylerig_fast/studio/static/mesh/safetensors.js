/**
 * Reader of safetensors files: an 8-byte length, a JSON header, then the tensors' bytes.
 * Format: https://github.com/huggingface/safetensors#format
 */

/**
 * @typedef {object} Tensor
 * @property {number[]} shape
 * @property {Float32Array|Int32Array} data row-major
 */

/**
 * Values of IEEE half-precision numbers.
 * @param {Uint16Array} halves
 * @returns {Float32Array}
 */
export function decodeHalf(halves) {
  // Every one of the 65,536 patterns once: millions of numbers are then only looked up.
  const table = halfTable();
  const values = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) values[i] = table[halves[i]];
  return values;
}

let cachedTable = null;

function halfTable() {
  if (cachedTable) return cachedTable;
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    let size;
    if (exponent === 31) size = fraction ? NaN : Infinity;
    else if (exponent === 0) size = fraction * 2 ** -24;
    else size = (1 + fraction / 1024) * 2 ** (exponent - 15);
    table[bits] = bits & 0x8000 ? -size : size;
  }
  cachedTable = table;
  return table;
}

const DECODERS = {
  F32: [4, (buffer) => new Float32Array(buffer)],
  F16: [2, (buffer) => decodeHalf(new Uint16Array(buffer))],
  I32: [4, (buffer) => new Int32Array(buffer)],
  I64: [8, (buffer) => Int32Array.from(new BigInt64Array(buffer), Number)],
};

/**
 * The tensors of a safetensors file; halves become float32, 64-bit integers 32-bit ones.
 * @param {ArrayBuffer} buffer the whole file
 * @param {string[]} names which tensors to read
 * @returns {{tensors: Object<string, Tensor>, metadata: Object<string, string>}}
 * @throws {Error} the file is cut short or lacks a tensor
 */
export function readSafetensors(buffer, names) {
  const length = buffer.byteLength < 8 ? NaN : Number(new DataView(buffer).getBigUint64(0, true));
  if (!(length >= 2 && length <= buffer.byteLength - 8)) {
    throw new Error(`face model: ${buffer.byteLength} bytes hold no whole safetensors header`);
  }
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const start = 8 + length;
  const tensors = {};
  for (const name of names) {
    const entry = header[name];
    if (!entry) throw new Error(`face model: tensor ${name} is missing`);
    const decoder = DECODERS[entry.dtype];
    if (!decoder) throw new Error(`face model: ${name} is stored as ${entry.dtype}, which this page cannot read`);
    const [begin, end] = entry.data_offsets;
    const count = entry.shape.reduce((product, size) => product * size, 1);
    if (end - begin !== count * decoder[0] || start + end > buffer.byteLength) {
      throw new Error(`face model: ${name} is cut short`);
    }
    // A copy: typed arrays need an aligned start, which the file does not promise.
    tensors[name] = { shape: entry.shape, data: decoder[1](buffer.slice(start + begin, start + end)) };
  }
  return { tensors, metadata: header.__metadata__ ?? {} };
}
