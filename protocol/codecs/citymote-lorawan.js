/*
 * citymote frames on LoRaWAN, for The Things Stack and ChirpStack v4: paste this file as the device's uplink formatter
 * (codec). It has no dependencies and asks for nothing newer than ECMAScript 5.
 *
 * decodeUplink gives one frame as { data, warnings, errors }: data.values has a list of numbers a quantity, null where a
 * reading is absent, data.times the end of each row's interval, data.latest the last row. normalizeUplink gives the
 * same rows in The Things Stack's normalized schema, as far as that has names for them.
 *
 * It reads every bare frame of the specification (SPEC chapters 1, 3, 4 and 6) and refuses, with the code of chapter 8,
 * whatever is not one: nothing is guessed, filled up or scaled that the registry does not know. The link names the node
 * and its session keys protect the frame, so a node on LoRaWAN sends frames without node and without seal; a sealed one
 * is for the collector and is said to be sealed. Every port is read alike.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

// Enters quantities of one unit and resolution into the table: 'id name id name ..'.
function define(unit, decimals, text) {
  for (var i = 0, words = text.split(' '); i < words.length; i += 2) {
    QUANTITIES[words[i]] = { name: words[i + 1], unit: unit, decimals: decimals };
  }
}

// <registry> Written by tools/make_lorawan_codec.py from the registry and the error table; edit those.
// Quantities by unit and decimals, each with its id; registry version 1.
var QUANTITIES = {};
define('ug/m3', 1,
  '1 pm2_5 2 pm10 13 pm1 21 pm2_5_corrected 22 pm10_corrected 34 pm4 63 pm2_5_humidity 64 pm10_humidity 65 ' +
  'pm2_5_epa 75 pm2_5_max 76 pm10_max');
define('Cel', 1, '3 temperature 27 globe_temperature 72 temperature_min 73 temperature_max 115 chip_temperature');
define('%RH', 1, '4 humidity');
define('deg', 0, '5 wind_direction 17 wind_gust_direction');
define('m/s', 1, '6 wind_speed 16 wind_gust_speed');
define('lx', 0, '7 illuminance 74 illuminance_max');
define('1', 1, '8 uv_index 81 odour');
define('dB', 1,
  '9 laeq 18 laf_max 19 l10 20 l90 66 lceq 67 lzeq 68 laf_min 69 las_max 70 lc_peak 71 l50 128 leq_octave_31_5 129 ' +
  'leq_octave_63 130 leq_octave_125 131 leq_octave_250 132 leq_octave_500 133 leq_octave_1k 134 leq_octave_2k 135 ' +
  'leq_octave_4k 136 leq_octave_8k 137 leq_octave_16k 144 leq_third_25 145 leq_third_31_5 146 leq_third_40 147 ' +
  'leq_third_50 148 leq_third_63 149 leq_third_80 150 leq_third_100 151 leq_third_125 152 leq_third_160 153 ' +
  'leq_third_200 154 leq_third_250 155 leq_third_315 156 leq_third_400 157 leq_third_500 158 leq_third_630 159 ' +
  'leq_third_800 160 leq_third_1k 161 leq_third_1k25 162 leq_third_1k6 163 leq_third_2k 164 leq_third_2k5 165 ' +
  'leq_third_3k15 166 leq_third_4k 167 leq_third_5k 168 leq_third_6k3 169 leq_third_8k 170 leq_third_10k');
define('m/s2', 2,
  '10 acceleration_x 11 acceleration_y 12 acceleration_z 24 acceleration_x_max 25 acceleration_y_max 26 ' +
  'acceleration_z_max');
define('hPa', 1, '14 pressure 62 pressure_sea_level');
define('ppm', 0, '15 co2 59 eco2');
define('count', 0,
  '23 visitors 77 crosswalk_on_red 82 smoke 83 heat 84 parking_occupied 103 boot_count 104 reset_cause 106 ' +
  'store_depth 107 store_discarded 110 sensor_errors 111 clock_state 113 link_failures 114 task_restarts 116 ' +
  'flash_erases 117 sound_lost 120 update_state 122 update_sequence 123 update_reason');
define('mm/s', 2,
  '28 vibration_x 29 vibration_y 30 vibration_z 31 vibration_x_max 32 vibration_y_max 33 vibration_z_max');
define('1/cm3', 2,
  '35 particles_0_3 36 particles_0_5 37 particles_1_0 38 particles_2_5 39 particles_4_0 40 particles_5_0 41 ' +
  'particles_10');
define('ppb', 0,
  '42 no 43 no2 44 o3 45 so2 46 h2s 47 nh3 48 co 49 no2_corrected 50 o3_corrected 51 co_corrected 52 so2_corrected ' +
  '53 h2s_corrected 54 nh3_corrected 55 no_corrected 58 voc');
define('1', 0, '56 voc_index 57 nox_index 89 voc_signal 90 nox_signal');
define('mm', 1, '60 rain');
define('mm/h', 1, '61 rain_rate');
define('Wh', 1, '78 plug_energy');
define('W', 1, '79 plug_power');
define('min', 0, '80 plug_idle_time');
define('lat', 6, '85 latitude');
define('lon', 6, '86 longitude');
define('m', 1, '87 altitude');
define('Ohm', 0, '88 gas_resistance');
define('V', 3, '96 battery_voltage 98 supply_voltage');
define('/100', 0, '97 battery_level 108 store_used 121 update_progress');
define('mA', 0, '99 supply_current');
define('B', 0, '100 heap_free 101 heap_low_water');
define('s', 0, '102 uptime 109 sensor_age 112 clock_drift 118 sound_overload 119 sleep_time');
define('dBm', 0, '105 signal_strength');
var SETS = {
  1: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 2: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 17, 21, 22, 24, 25, 26, 27],
  3: [1, 2, 3, 4, 7, 9, 13, 14, 58, 59], 4: [1, 2, 3, 4], 5: [9, 18, 19, 20, 66, 67, 68, 69, 70, 71],
  6: [100, 101, 102, 103, 104, 106, 107, 111, 113, 114], 7: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
};
var QUALITIES = {
  0: 'unchecked', 1: 'rejected', 2: 'likely_invalid', 3: 'suspicious', 4: 'accepted', 8: 'no_answer',
  9: 'bad_checksum', 10: 'warming_up', 11: 'out_of_range', 12: 'wrong_chip', 13: 'short_read', 14: 'stuck_bus',
  15: 'frozen', 16: 'saturated'
};
var CLAUSES = {
  truncated: '1.2.1', trailing: '1.2.2', not_shortest: '1.2.3', indefinite: '1.2.4', reserved: '1.2.5',
  float: '1.2.6', simple: '1.2.7', tag: '1.2.8', type: '1.2.9', too_long: '1.2.10', range: '1.2.11', depth: '1.2.12',
  duplicate_key: '1.2.13', key_order: '1.2.14', text: '1.2.15', value: '1.3.1', clock: '1.4.1', sealed: '3.1.1',
  too_large: '3.1.2', version: '3.2.1', kind: '3.2.2', node: '3.2.4', items: '3.2.5', set: '3.3.1', columns: '3.3.2',
  duplicate_column: '3.3.3', count: '3.4.1', interval: '3.4.2', times: '3.4.3', column_length: '3.5.1', mask: '3.5.2',
  quality: '3.6.2', critical: '3.7.2', packed_rest: '4.1.1', packed_end: '4.1.2', packed_form: '4.1.3',
  missing: '6.3.1'
};
// </registry>

// Limits of SPEC chapter 9.
var MAX = {
  frame: 8192, columns: 64, count: 255, runs: 1024, options: 16, depth: 4, text: 64, sensors: 32, corrections: 16,
  uint32: 4294967295, interval: 604800, gap: 16777215, days: 49710, id: 65535, instance: 255, step: 65535,
  value: 1073741823, delta: 2147483646, code: 23, latitude: 90000000, longitude: 180000000
};
var UINT = 0, BYTES = 2, ARRAY = 4, MAP = 5, TAGGED = 6, SIMPLE = 7, NULL = 0xf6;
var KINDS = ['batch', 'event', 'packed', 'status', 'descriptor'];
var CLOCKS = ['never', 'ble', 'network', 'satellite', 'estimated'];
var EPOCH_2000 = 946684800;

function fail(code, why) {
  var error = new Error(why);
  error.code = code;
  throw error;
}

function hex(bytes) {
  var out = '';
  for (var i = 0; i < bytes.length; i++) out += (bytes[i] < 16 ? '0' : '') + bytes[i].toString(16);
  return out;
}

// ---- CBOR, the part of it that SPEC 1.2 allows ---------------------------------------------------------------------

function Reader(bytes) {
  this.data = bytes;
  this.pos = 0;
  this.end = bytes.length;
  this.argument = 0;
}

// Reads one head: returns the major type and leaves its number in `argument`.
Reader.prototype.head = function () {
  var start = this.pos;
  if (start >= this.end) fail('truncated', 'item missing at byte ' + start);
  var first = this.data[start], major = first >> 5, info = first & 31;
  if (info < 24) {
    if (major === SIMPLE && (info < 20 || info > 22)) fail('simple', 'simple value ' + info + ' at byte ' + start);
    this.argument = info;
    this.pos = start + 1;
    return major;
  }
  if (info > 27) {
    if (info === 31 && major >= BYTES && major !== TAGGED) fail('indefinite', 'at byte ' + start);
    fail('reserved', 'at byte ' + start);
  }
  var size = 1 << (info - 24);
  if (start + 1 + size > this.end) fail('truncated', 'head cut short at byte ' + start);
  if (major === SIMPLE) {
    if (info === 24) fail('simple', 'two-byte simple value at byte ' + start);
    fail('float', 'at byte ' + start);
  }
  // Numbers over 2^53 lose digits here, and are over every limit that they meet.
  var number = 0, upper = 0;
  for (var i = 0; i < size; i++) {
    number = number * 256 + this.data[start + 1 + i];
    if (i < size / 2) upper += this.data[start + 1 + i];
  }
  if (number < 24 || (size > 1 && upper === 0)) fail('not_shortest', 'at byte ' + start);
  this.argument = number;
  this.pos = start + 1 + size;
  return major;
};

Reader.prototype.peek = function () {
  return this.pos < this.end ? this.data[this.pos] : -1;
};

Reader.prototype.expect = function (major) {
  var start = this.pos;
  if (this.head() !== major) fail('type', 'not of the type that belongs there, at byte ' + start);
  return this.argument;
};

Reader.prototype.uint = function (most) {
  var number = this.expect(UINT);
  if (number > most) fail('range', number + ' is over ' + most);
  return number;
};

Reader.prototype.integer = function (least, most) {
  var start = this.pos, major = this.head();
  if (major > 1) fail('type', 'not an integer at byte ' + start);
  var number = major ? -1 - this.argument : this.argument;
  if (number < least || number > most) fail('range', number + ' is not in ' + least + '..' + most);
  return number;
};

Reader.prototype.isNull = function () {
  if (this.peek() !== NULL) return false;
  this.pos++;
  return true;
};

// A length is held against its limit before it is held against the bytes that are left.
Reader.prototype.length = function (major, most) {
  var length = this.expect(major);
  if (length > most) fail('too_long', length + ' is over ' + most);
  if (length > this.end - this.pos) fail('truncated', length + ' announced, ' + (this.end - this.pos) + ' left');
  return length;
};

Reader.prototype.bytes = function (most) {
  var length = this.length(BYTES, most);
  this.pos += length;
  return this.data.slice(this.pos - length, this.pos);
};

Reader.prototype.text = function (most) {
  var length = this.length(3, most);
  this.pos += length;
  return text(this.data.slice(this.pos - length, this.pos));
};

Reader.prototype.map = function (most) {
  var length = this.length(MAP, most);
  if (length * 2 > this.end - this.pos) fail('truncated', length + ' pairs announced');
  return length;
};

Reader.prototype.key = function (previous) {
  var number = this.uint(MAX.uint32);
  if (number === previous) fail('duplicate_key', 'key ' + number);
  if (number < previous) fail('key_order', 'key ' + number + ' after ' + previous);
  return number;
};

// Walks over any one item: what an optional field of a newer version may hold.
Reader.prototype.skip = function (depth) {
  var start = this.pos, major = this.head(), number = this.argument, i, last = null;
  if (major < BYTES || major === SIMPLE) return;
  if (major === TAGGED) fail('tag', 'at byte ' + start);
  if (major < ARRAY) {
    this.pos = start;
    if (major === BYTES) this.bytes(Infinity);
    else this.text(Infinity);
    return;
  }
  if (depth === 0) fail('depth', 'at byte ' + start);
  if (number * (major === MAP ? 2 : 1) > this.end - this.pos) fail('truncated', number + ' items announced');
  for (i = 0; i < number; i++) {
    var at = this.pos;
    this.skip(depth - 1);
    if (major === MAP) {
      // Hexadecimal text of equal case sorts as the bytes do.
      var raw = hex(this.data.slice(at, this.pos));
      if (last !== null && raw === last) fail('duplicate_key', 'at byte ' + at);
      if (last !== null && raw < last) fail('key_order', 'at byte ' + at);
      last = raw;
      this.skip(depth - 1);
    }
  }
};

// UTF-8 by RFC 3629 without control characters.
function text(raw) {
  var out = '', i = 0;
  while (i < raw.length) {
    var c = raw[i], more = 0, low = 0x80, high = 0xbf;
    if (c >= 0xc2 && c <= 0xdf) more = 1;
    else if (c >= 0xe0 && c <= 0xef) more = 2;
    else if (c >= 0xf0 && c <= 0xf4) more = 3;
    else if (c >= 0x80) fail('text', 'not UTF-8');
    if (c === 0xe0) low = 0xa0;
    if (c === 0xed) high = 0x9f;
    if (c === 0xf0) low = 0x90;
    if (c === 0xf4) high = 0x8f;
    if (i + more >= raw.length) fail('text', 'not UTF-8');
    var point = more ? c & (0x3f >> more) : c;
    for (var k = 1; k <= more; k++) {
      var next = raw[i + k];
      if (next < (k === 1 ? low : 0x80) || next > (k === 1 ? high : 0xbf)) fail('text', 'not UTF-8');
      point = point << 6 | next & 0x3f;
    }
    if (point < 0x20 || (point >= 0x7f && point < 0xa0)) fail('text', 'control character');
    if (point < 0x10000) out += String.fromCharCode(point);
    else out += String.fromCharCode(0xd800 + (point - 0x10000 >> 10), 0xdc00 + (point - 0x10000 & 0x3ff));
    i += more + 1;
  }
  return out;
}

// ---- What frames share (SPEC 3.2, 3.3, 3.7) ------------------------------------------------------------------------

function readNode(reader) {
  if (reader.isNull()) return null;
  if (reader.peek() >> 5 === BYTES) {
    var start = reader.pos;
    reader.head();
    if (reader.argument > 255) fail('node', 'a node id has six bytes');
    reader.pos = start;
  }
  var node = reader.bytes(255);
  if (node.length !== 6) fail('node', 'a node id has six bytes');
  return hex(node);
}

function readColumns(reader) {
  var columns = [], seen = {}, i;
  if (reader.peek() >> 5 !== ARRAY) {
    var number = reader.uint(MAX.id), members = SETS[number];
    if (!members) fail('set', 'set ' + number + ' is not in this registry');
    for (i = 0; i < members.length; i++) columns.push([members[i], 0]);
    return columns;
  }
  var length = reader.length(ARRAY, MAX.frame);
  if (length < 1 || length > MAX.columns) fail('columns', length + ' columns');
  for (i = 0; i < length; i++) {
    var quantity, instance = 0;
    if (reader.peek() >> 5 === ARRAY) {
      if (reader.length(ARRAY, 2) !== 2) fail('type', 'a column is a quantity or [quantity, instance]');
      quantity = reader.uint(MAX.id);
      instance = reader.uint(MAX.instance);
      if (instance === 0) fail('range', 'instance 0 is written without brackets');
    } else quantity = reader.uint(MAX.id);
    if (quantity === 0) fail('range', 'quantity 0');
    if (seen[quantity + '/' + instance]) fail('duplicate_column', 'quantity ' + quantity + ', instance ' + instance);
    seen[quantity + '/' + instance] = true;
    columns.push([quantity, instance]);
  }
  return columns;
}

function readOptions(reader, frame, quality) {
  if (reader.peek() < 0) fail('truncated', 'optional fields missing');
  if (reader.peek() >> 5 !== MAP) fail('type', 'optional fields are a map');
  var left = reader.map(MAX.options), key = -1;
  while (left-- > 0) {
    key = reader.key(key);
    if (key === 0) frame.minor = reader.uint(65535);
    else if (key === 1) quality(reader, frame);
    else keep(reader, key, frame.options);
  }
}

// A field that this version does not know: even keys may be passed over, odd ones may not.
function keep(reader, key, options) {
  if (key & 1) fail('critical', 'field ' + key + ' must be understood');
  var start = reader.pos;
  reader.skip(MAX.depth);
  options.push([key, hex(reader.data.slice(start, reader.pos))]);
}

function readRuns(reader, frame) {
  var length = reader.length(ARRAY, MAX.runs * 4), column = 0, free = 0;
  if (length === 0 || length & 3) fail('quality', length + ' numbers are no runs');
  for (var left = length >> 2; left > 0; left--) {
    var number = reader.uint(MAX.uint32), start = reader.uint(MAX.uint32);
    var rows = reader.uint(MAX.uint32), code = reader.uint(MAX.uint32);
    if (number > column) {
      column = number;
      free = 0;
    }
    if (number < column || number >= frame.columns.length || start < free || rows === 0 || start + rows > frame.count) {
      fail('quality', 'run of column ' + number + ' at row ' + start);
    }
    if (code < 1 || code > MAX.code) fail('quality', 'code ' + code);
    free = start + rows;
    frame.quality.push([number, start, rows, code]);
  }
}

function readFlags(reader, frame) {
  var length = reader.length(ARRAY, MAX.columns * 2), last = -1;
  if (length === 0 || length & 1) fail('quality', length + ' numbers are no pairs');
  for (var left = length >> 1; left > 0; left--) {
    var column = reader.uint(MAX.uint32), code = reader.uint(MAX.uint32);
    if (column <= last || column >= frame.columns.length) fail('quality', 'column ' + column);
    if (code < 1 || code > MAX.code) fail('quality', 'code ' + code);
    last = column;
    frame.quality.push([column, code]);
  }
}

// ---- Batch frames (SPEC 3.4, 3.5) ----------------------------------------------------------------------------------

function marked(mask, row) {
  return row >> 3 < mask.length && (mask[row >> 3] & 0x80 >> (row & 7)) !== 0;
}

function readMask(reader, rows, elements) {
  var mask = reader.bytes(MAX.count), found = 0;
  if (mask.length === 0 || mask.length > rows + 7 >> 3 || mask[mask.length - 1] === 0) {
    fail('mask', mask.length + ' bytes of mask for ' + rows + ' rows');
  }
  for (var row = 0; row < mask.length * 8; row++) {
    if (!marked(mask, row)) continue;
    found++;
    if (row >= rows) fail('mask', 'a bit behind the last row');
  }
  if (found !== elements) fail('column_length', elements + ' elements for ' + found + ' bits');
  return mask;
}

// The interval, and the deviation of each gap from it; null where rows are regular.
function readInterval(reader, frame) {
  if (reader.peek() >> 5 !== ARRAY) {
    frame.interval = reader.uint(MAX.interval);
    return null;
  }
  var length = reader.length(ARRAY, MAX.count + 1), gaps = frame.count - 1, deviations = [], row;
  if (length < 2) fail('interval', 'an interval without deviations');
  frame.interval = reader.uint(MAX.interval);
  if (reader.peek() >> 5 !== BYTES) {
    if (length !== frame.count) fail('interval', length - 1 + ' deviations for ' + frame.count + ' rows');
    for (row = 0; row < gaps; row++) deviations.push(reader.integer(-MAX.gap, MAX.gap));
    return deviations;
  }
  var mask = readMask(reader, gaps, length - 2);
  for (row = 0; row < gaps; row++) deviations.push(marked(mask, row) ? reader.integer(-MAX.gap, MAX.gap) : 0);
  return deviations;
}

function setTimes(frame, deviations) {
  if (deviations === null) {
    if (frame.count > 1 && frame.interval === 0) fail('interval', 'rows without an interval');
    if (frame.time + (frame.count - 1) * frame.interval > MAX.uint32) fail('times', 'past the end of time');
    return;
  }
  var time = frame.time, times = [time];
  for (var row = 0; row < deviations.length; row++) {
    var gap = frame.interval + deviations[row];
    if (gap < 1 || gap > MAX.gap) fail('times', 'a gap of ' + gap + ' s');
    time += gap;
    times.push(time);
  }
  if (time > MAX.uint32) fail('times', 'past the end of time');
  frame.times = times;
}

function checked(value) {
  if (value < -MAX.value || value > MAX.value) fail('value', value + ' does not fit 31 bits');
  return value;
}

function repeated(value, count) {
  var out = [];
  while (out.length < count) out.push(value);
  return out;
}

function readDeltas(reader, count, step, last) {
  var values = [];
  for (var row = 0; row < count; row++) {
    if (reader.isNull()) values.push(null);
    else {
      last = checked(last + reader.integer(-MAX.delta, MAX.delta) * step);
      values.push(last);
    }
  }
  return values;
}

// Which form a column has: the major type of what stands second or third, if it is a byte string or a tag, and where.
function formOf(reader, length) {
  var start = reader.pos, form = 0, index = 0;
  for (; index < 3 && index < length; index++) {
    var next = reader.peek(), major = next >> 5;
    if (next < 0) fail('truncated', 'column cut short');
    if (major === BYTES || major === TAGGED) {
      form = major;
      break;
    }
    if (major === ARRAY || major === MAP || major === 3) fail('type', 'neither integer nor null in a column');
    reader.head();
  }
  reader.pos = start;
  if (form && index === 0) fail('type', 'a column begins with its first value');
  return { form: form, at: index };
}

function readColumn(reader, count) {
  if (reader.isNull()) return repeated(null, count);
  if (reader.peek() >> 5 !== ARRAY) return repeated(reader.integer(-MAX.value, MAX.value), count);
  var length = reader.length(ARRAY, MAX.frame), found = formOf(reader, length), step = 1;
  if (found.form ? found.at === 2 : length === count + 1) {
    step = reader.uint(MAX.step);
    if (step < 2) fail('range', 'a step of ' + step);
    length--;
  }
  if (found.form === TAGGED) {
    if (length !== 2) fail('column_length', length - 1 + ' items after a first value');
    return readTyped(reader, count, step);
  }
  if (found.form === BYTES) return readMasked(reader, length - 2, count, step);
  if (length !== count) fail('column_length', length + ' values for ' + count + ' rows');
  return readDeltas(reader, count, step, 0);
}

function readMasked(reader, changes, count, step) {
  var value = null, last = 0, at = 0;
  if (!reader.isNull()) value = last = checked(reader.integer(-MAX.value, MAX.value) * step);
  var mask = readMask(reader, count - 1, changes), changed = readDeltas(reader, changes, step, last), values = [value];
  for (var row = 0; row < count - 1; row++) {
    if (marked(mask, row)) {
      if (changed[at] === value) fail('mask', 'row ' + (row + 1) + ' does not change');
      value = changed[at++];
    }
    values.push(value);
  }
  return values;
}

function readTyped(reader, count, step) {
  var value = reader.integer(-MAX.value, MAX.value) * step, tag = reader.expect(TAGGED);
  if (tag !== 72 && tag !== 77) fail('tag', 'tag ' + tag);
  var raw = reader.bytes(MAX.frame), width = tag === 72 ? 1 : 2, values = [];
  if (raw.length !== (count - 1) * width) fail('column_length', raw.length + ' bytes of deltas for ' + count + ' rows');
  values.push(checked(value));
  for (var pos = 0; pos < raw.length; pos += width) {
    var delta = width === 1 ? raw[pos] << 24 >> 24 : (raw[pos] | raw[pos + 1] << 8) << 16 >> 16;
    value = checked(value + delta * step);
    values.push(value);
  }
  return values;
}

function readBatch(reader, items, frame) {
  if (items < 9) fail('items', items + ' items');
  frame.node = readNode(reader);
  frame.epoch = reader.uint(MAX.uint32);
  frame.seq = reader.uint(MAX.uint32);
  frame.time = reader.uint(MAX.uint32);
  frame.count = reader.uint(MAX.uint32);
  if (frame.count < 1 || frame.count > MAX.count) fail('count', frame.count + ' rows');
  setTimes(frame, readInterval(reader, frame));
  frame.columns = readColumns(reader);
  var width = frame.columns.length, left = items - 8 - width;
  if (left < 0 || left > 1) fail('items', items + ' items for ' + width + ' columns');
  for (var i = 0; i < width; i++) frame.values.push(readColumn(reader, frame.count));
  if (left) readOptions(reader, frame, readRuns);
}

// ---- Packed frames (SPEC chapter 4) --------------------------------------------------------------------------------

function Bits(bytes) {
  this.data = bytes;
  this.pos = 0;
  this.end = bytes.length * 8;
}

Bits.prototype.take = function (size) {
  if (this.pos + size > this.end) fail('packed_end', 'after ' + this.data.length + ' bytes');
  var value = 0;
  for (; size > 0; size--, this.pos++) value = value * 2 + (this.data[this.pos >> 3] >> 7 - (this.pos & 7) & 1);
  return value;
};

Bits.prototype.number = function () {
  var size = this.take(4);
  if (size < 15) return size ? (1 << size - 1) + this.take(size - 1) : 0;
  var value = this.take(30);
  if (value < 16384) fail('packed_form', 'a long number that is short');
  return value;
};

Bits.prototype.parameter = function () {
  var k = this.take(3);
  if (k < 7) return k;
  k = this.take(4);
  if (k < 7) fail('packed_form', 'a long parameter that is short');
  return k;
};

Bits.prototype.rice = function (k) {
  var ones = 0;
  while (ones < 20 && this.take(1)) ones++;
  if (ones < 20) return ones * (1 << k) + this.take(k);
  var code = this.take(24);
  if (code >> k < 20) fail('packed_form', 'an escape without need');
  return code;
};

Bits.prototype.form = function () {
  var form = 0;
  while (form < 4 && this.take(1)) form++;
  return form;
};

Bits.prototype.step = function () {
  if (!this.take(1)) return 1;
  if (!this.take(1)) return 10;
  var step = this.take(16);
  if (step < 2 || step === 10) fail('packed_form', 'a step of ' + step);
  return step;
};

Bits.prototype.finish = function () {
  var rest = this.end - this.pos;
  if (rest > 7 || (rest && this.take(rest))) fail('packed_rest', rest + ' bits are left');
};

function unzigzag(code) {
  return code % 2 ? -(code + 1) / 2 : code / 2;
}

var DELTAS = 0, MEAN = 1, CONSTANT = 3, EMPTY = 4;

function readSeries(bits, form, rows, signed) {
  var step = form === CONSTANT ? 1 : bits.step(), base = bits.number(), values = [], k, row;
  if (signed) base = unzigzag(base);
  if (form === CONSTANT) return repeated(base, rows);
  if (form === MEAN) {
    k = bits.parameter();
    for (row = 0; row < rows; row++) values.push(base + unzigzag(bits.rice(k)));
  } else if (form === DELTAS) {
    k = bits.parameter();
    values.push(base);
    while (values.length < rows) values.push(base += unzigzag(bits.rice(k)));
  } else {
    var runs = bits.parameter();
    k = bits.parameter();
    values.push(base);
    while (values.length < rows) {
      var run = bits.rice(runs);
      if (run > rows - values.length) fail('packed_form', 'a run of ' + run + ' rows');
      while (run-- > 0) values.push(base);
      if (values.length < rows) values.push(base += unzigzag(bits.rice(k) + 1));
    }
  }
  for (row = 0; row < rows; row++) values[row] *= step;
  return values;
}

function readLateness(bits, count) {
  var form = bits.form(), deviations = [], different = false;
  if (form === EMPTY) fail('packed_form', 'no times');
  var late = readSeries(bits, form, count, true);
  for (var row = 0; row < count; row++) if (late[row] !== 0) different = true;
  if (late[0] !== 0 || !different) fail('packed_form', 'irregular rows that are regular');
  for (row = 0; row < count; row++) {
    if (late[row] < -MAX.value || late[row] > MAX.value) fail('times', 'a row ' + late[row] + ' s late');
    if (row) deviations.push(late[row] - late[row - 1]);
  }
  return deviations;
}

function unpack(bits, frame) {
  frame.time = bits.take(32);
  frame.count = bits.number();
  if (frame.count < 1 || frame.count > MAX.count) fail('count', frame.count + ' rows');
  var minutes = bits.take(1);
  frame.interval = bits.number();
  if (minutes) {
    frame.interval *= 60;
    if (frame.interval === 0) fail('packed_form', 'no interval, in minutes');
  } else if (frame.interval && frame.interval % 60 === 0) fail('packed_form', 'whole minutes, in seconds');
  if (frame.interval > MAX.interval) fail('interval', frame.interval + ' s');
  var deviations = bits.take(1) ? readLateness(bits, frame.count) : null;
  var gaps = bits.take(1), signed = bits.take(1), before = null, gapped = false;
  for (var i = 0; i < frame.columns.length; i++) {
    var form = bits.form(), present = null, rows = frame.count, row;
    if (form === EMPTY) {
      frame.values.push(repeated(null, frame.count));
      before = null;
      gapped = true;
      continue;
    }
    if (gaps && bits.take(1)) {
      present = [];
      rows = 0;
      for (row = 0; row < frame.count; row++) {
        present.push(bits.take(1));
        rows += present[row];
      }
      if (rows === 0 || rows === frame.count) fail('packed_form', 'a column with gaps needs both');
    }
    var crossed = present === null && before !== null && bits.take(1) === 1;
    var values = readSeries(bits, form, rows, signed || crossed);
    for (row = 0; row < rows; row++) values[row] = checked(values[row] + (crossed ? before[row] : 0));
    if (present !== null) {
      var sparse = [], next = 0;
      for (row = 0; row < frame.count; row++) sparse.push(present[row] ? values[next++] : null);
      values = sparse;
      gapped = true;
    }
    before = present === null ? values : null;
    frame.values.push(values);
  }
  bits.finish();
  if (gaps && !gapped) fail('packed_form', 'gaps announced, none there');
  return deviations;
}

function readPacked(reader, items, frame) {
  if (reader.peek() >> 5 === UINT) items++; // no node: the link names it
  else {
    frame.node = readNode(reader);
    if (frame.node === null) fail('node', 'a packed frame without a node has no item for it');
  }
  frame.epoch = reader.uint(MAX.uint32);
  frame.seq = reader.uint(MAX.uint32);
  if (items < 6 || items > 7) fail('items', items + ' items');
  frame.columns = readColumns(reader);
  setTimes(frame, unpack(new Bits(reader.bytes(MAX.frame)), frame));
  if (items === 7) readOptions(reader, frame, readRuns);
}

// ---- Events, status, descriptors (SPEC chapter 6) ------------------------------------------------------------------

function readEvent(reader, items, frame) {
  if (items < 7) fail('items', items + ' items');
  frame.node = readNode(reader);
  frame.epoch = reader.uint(MAX.uint32);
  frame.seq = reader.uint(MAX.uint32);
  frame.time = reader.uint(MAX.uint32);
  frame.columns = readColumns(reader);
  var width = frame.columns.length, left = items - 6 - width;
  if (left < 0 || left > 1) fail('items', items + ' items for ' + width + ' columns');
  for (var i = 0; i < width; i++) {
    frame.values.push(reader.isNull() ? null : reader.integer(-MAX.value, MAX.value));
  }
  if (left) readOptions(reader, frame, readFlags);
}

function asText(reader) {
  return reader.text(MAX.text);
}

function asDays(reader) {
  return reader.uint(MAX.days);
}

function asSensors(reader) {
  var sensors = [];
  for (var left = reader.length(ARRAY, MAX.sensors); left > 0; left--) {
    var fields = {}, options = [];
    readFields(reader, SENSOR_FIELDS, fields, options, null);
    if (options.length) fields.options = options;
    sensors.push(fields);
  }
  return sensors;
}

function asCorrections(reader) {
  var corrections = [];
  for (var left = reader.length(ARRAY, MAX.corrections); left > 0; left--) {
    if (reader.length(ARRAY, 3) !== 3) fail('items', 'a correction is [quantity, name, version]');
    corrections.push([reader.uint(MAX.id), asText(reader), reader.uint(65535)]);
  }
  return corrections;
}

function asPosition(reader) {
  var length = reader.length(ARRAY, 3);
  if (length < 2) fail('items', 'a position is [latitude, longitude] or [latitude, longitude, height]');
  var position = [reader.integer(-MAX.latitude, MAX.latitude), reader.integer(-MAX.longitude, MAX.longitude)];
  if (length === 3) position.push(reader.integer(-MAX.value, MAX.value));
  return position;
}

function asNumber(reader) {
  return reader.uint(65535);
}

function asInteger(reader) {
  return reader.integer(-MAX.value, MAX.value);
}

var SENSOR_FIELDS = {
  size: 11, required: ['driver', 'columns'],
  0: ['driver', asText], 2: ['columns', readColumns], 4: ['serial', asText], 6: ['batch', asText],
  8: ['calibrated', asDays], 10: ['pm_class', asNumber], 12: ['sound_method', asText], 14: ['model', asText],
  16: ['offset', asInteger], 18: ['instrument', asText], 20: ['operator', asText]
};
var FIELDS = {
  size: 11, required: ['model', 'firmware', 'sensors'],
  2: ['model', asText], 4: ['firmware', asText], 6: ['runtime', asText], 8: ['sensors', asSensors],
  10: ['support_until', asDays], 12: ['station', asText], 14: ['corrections', asCorrections], 16: ['maker', asText],
  18: ['hardware', asText], 20: ['position', asPosition], 22: ['batch_columns', readColumns]
};

function readFields(reader, known, fields, options, frame) {
  var left = reader.map(known.size + MAX.options), key = -1, i;
  while (left-- > 0) {
    key = reader.key(key);
    if (key === 0 && frame) frame.minor = reader.uint(65535);
    else if (known.hasOwnProperty(key)) fields[known[key][0]] = known[key][1](reader);
    else keep(reader, key, options);
  }
  for (i = 0; i < known.required.length; i++) {
    if (!fields.hasOwnProperty(known.required[i])) fail('missing', known.required[i]);
  }
}

function readDescriptor(reader, items, frame) {
  if (items !== 6) fail('items', items + ' items');
  frame.node = readNode(reader);
  frame.epoch = reader.uint(MAX.uint32);
  frame.seq = reader.uint(MAX.uint32);
  frame.time = reader.uint(MAX.uint32);
  var options = [];
  frame.fields = {};
  readFields(reader, FIELDS, frame.fields, options, frame);
  if (options.length) frame.fields.options = options;
}

// One frame in the plain form of SPEC 7.6; throws an error with a `code` of chapter 8 for anything else.
function decodeFrame(bytes) {
  if (bytes.length > MAX.frame) fail('too_large', bytes.length + ' bytes are over ' + MAX.frame);
  if (bytes[0] === 0xd0 || bytes[0] === 0x83) fail('sealed', 'a sealed envelope: the collector opens it');
  var reader = new Reader(bytes), items = reader.length(ARRAY, MAX.frame), head = reader.uint(MAX.uint32);
  var version = Math.floor(head / 64) + 1, kind = head >> 3 & 7, clock = head & 7;
  if (version !== 1) fail('version', 'version ' + version + ', this is 1');
  if (kind >= KINDS.length) fail('kind', 'kind ' + kind);
  if (clock >= CLOCKS.length) fail('clock', 'clock state ' + clock);
  if (items < 5) fail('items', items + ' items');
  var frame = { kind: KINDS[kind], node: null, epoch: 0, seq: 0, time: 0, clock: clock, minor: 0 };
  if (kind !== 4) {
    frame.columns = [];
    frame.values = [];
    frame.quality = [];
    frame.options = [];
  }
  if (kind === 0 || kind === 2) {
    frame.count = 0;
    frame.interval = 0;
    frame.times = null;
  }
  [readBatch, readEvent, readPacked, readEvent, readDescriptor][kind](reader, items, frame);
  if (reader.pos !== reader.end) fail('trailing', reader.end - reader.pos + ' bytes after the end');
  return frame;
}

// ---- For the network server ----------------------------------------------------------------------------------------

function moment(seconds) {
  return new Date((EPOCH_2000 + seconds) * 1000).toISOString().replace('.000Z', 'Z');
}

// A column's name in `values`, and how to scale it. A quantity of a newer registry stays the integer that was sent.
function columnOf(column, warnings) {
  var entry = QUANTITIES[column[0]];
  if (!entry) warnings.push('quantity ' + column[0] + ' is not in this codec: integers as they were sent');
  var name = entry ? entry.name : 'quantity_' + column[0];
  return {
    name: column[1] ? name + '_' + column[1] : name,
    unit: entry ? entry.unit : '',
    scale: entry ? Math.pow(10, entry.decimals) : 1
  };
}

function scaled(integer, scale) {
  return integer === null ? null : integer / scale;
}

// Seconds since 2000 of each row.
function rowsOf(frame) {
  if (frame.times) return frame.times;
  var seconds = [];
  for (var row = 0; row < (frame.count || 1); row++) seconds.push(frame.time + row * (frame.interval || 0));
  return seconds;
}

function qualityName(code) {
  return QUALITIES[code] || 'quality_' + code;
}

// The codes of each column's rows as words; only columns of which anything is said.
function qualityOf(frame, names) {
  var out = {};
  for (var i = 0; i < frame.quality.length; i++) {
    var run = frame.quality[i], row = frame.count ? run[1] : 0, length = frame.count ? run[2] : 1;
    var line = out[names[run[0]]] = out[names[run[0]]] || repeated(qualityName(0), frame.count || 1);
    for (; length > 0; length--) line[row++] = qualityName(run[run.length - 1]);
  }
  return out;
}

function describe(frame, input, warnings) {
  var data = { kind: frame.kind, epoch: frame.epoch, seq: frame.seq, clock: CLOCKS[frame.clock] };
  if (frame.node !== null) data.node = frame.node;
  var seconds = rowsOf(frame), last = seconds[seconds.length - 1], i, row;
  if (frame.clock === 0) {
    // Nobody has told the node the time: what it sends counts from its start, and only differences hold.
    data.seconds = seconds;
    warnings.push('the node has not been told the time: seconds count from its start');
  } else {
    data.times = [];
    for (row = 0; row < seconds.length; row++) data.times.push(moment(seconds[row]));
    var received = input.recvTime ? new Date(input.recvTime).getTime() / 1000 - EPOCH_2000 : NaN;
    if (last > received + 600) warnings.push('dated ' + Math.round(last - received) + ' s after its reception');
  }
  if (frame.kind === 'descriptor') {
    data.descriptor = frame.fields;
    return data;
  }
  if (frame.interval) data.interval = frame.interval;
  data.values = {};
  data.units = {};
  data.latest = {};
  var names = [];
  for (i = 0; i < frame.columns.length; i++) {
    var column = columnOf(frame.columns[i], warnings), line = [];
    var sent = frame.count ? frame.values[i] : [frame.values[i]];
    for (row = 0; row < sent.length; row++) line.push(scaled(sent[row], column.scale));
    names.push(column.name);
    data.values[column.name] = line;
    data.units[column.name] = column.unit;
    data.latest[column.name] = line[line.length - 1];
  }
  if (frame.quality.length) data.quality = qualityOf(frame, names);
  return data;
}

function decodeUplink(input) {
  var warnings = [];
  try {
    var data = describe(decodeFrame([].slice.call(input.bytes)), input, warnings);
    return { data: data, warnings: warnings, errors: [] };
  } catch (error) {
    if (!error.code) throw error;
    var clause = CLAUSES[error.code];
    return { data: {}, warnings: [], errors: [error.code + (clause ? ' (SPEC ' + clause + ')' : '') + ': ' + error.message] };
  }
}

// Where the normalized schema has a place for a quantity, and what it allows there.
var NORMALIZED = {
  temperature: ['air', 'temperature', -273.15, Infinity],
  humidity: ['air', 'relativeHumidity', 0, 100],
  pressure: ['air', 'pressure', 900, 1100],
  co2: ['air', 'co2', 0, 1000000],
  illuminance: ['air', 'lightIntensity', 0, Infinity],
  wind_speed: ['wind', 'speed', 0, Infinity],
  wind_direction: ['wind', 'direction', 0, 359.999]
};

function normalizeUplink(input) {
  var data = input.data, out = [], warnings = [], values = data.values || {};
  var rows = (data.times || data.seconds || []).length;
  for (var row = 0; row < rows; row++) {
    var measurement = {}, found = false;
    for (var name in NORMALIZED) {
      var place = NORMALIZED[name], value = values[name] ? values[name][row] : null;
      if (value === null || value === undefined) continue;
      if (value < place[2] || value > place[3]) {
        warnings.push(name + ' ' + value + ' is outside of what the schema allows');
        continue;
      }
      measurement[place[0]] = measurement[place[0]] || {};
      measurement[place[0]][place[1]] = value;
      found = true;
    }
    if (!found) continue;
    if (data.times) measurement.time = data.times[row];
    out.push(measurement);
  }
  return { data: out, warnings: warnings, errors: [] };
}
