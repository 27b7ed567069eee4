// Loads the LoRaWAN codec as a network server does (a bare script, nothing imported) and answers one JSON array of
// [function, argument] calls from stdin with one of results; an error that has a code is {"error": code}.
'use strict';
const fs = require('fs');
const vm = require('vm');

const server = vm.createContext({});
vm.runInContext(fs.readFileSync(process.argv[2], 'utf8'), server);
const results = JSON.parse(fs.readFileSync(0, 'utf8')).map(([name, argument]) => {
  try {
    return server[name](argument);
  } catch (error) {
    if (!error.code) throw error;
    return { error: error.code };
  }
});
process.stdout.write(JSON.stringify(results));
