"""Gases by electrochemical cells with an auxiliary electrode (Alphasense A4 and B4, or alike), read by an ADS1115.

The potentiostat board's two voltages go to two inputs of the converter (`ads1115.py`). Concentration by Alphasense's
application note AAN 803 (cited as AN; the arithmetic is in `citymote_protocol/cells.py`, which the host has too): what
the working electrode says beyond its zeros, less what the auxiliary one says beyond its own, over the cell's
sensitivity. Two readings stand beside each other: without regard to temperature, and with the AN's factors for it. No
checksum; a cell that is not there cannot be told from clean air.
"""

from citymote_protocol.cells import UNIT, compensated, factors, plain, ppb
from citymote_protocol.quantities import (
    CO,
    CO_CORRECTED,
    H2S,
    H2S_CORRECTED,
    NH3,
    NH3_CORRECTED,
    NO,
    NO2,
    NO2_CORRECTED,
    NO_CORRECTED,
    O3,
    O3_CORRECTED,
    SO2,
    SO2_CORRECTED,
    TEMPERATURE,
)

from .ads1115 import ADS1115
from .fault import NO_ANSWER, OK, OUT_OF_RANGE, SATURATED, WARMING_UP, Fault

_IDLE, _WORKING, _BETWEEN, _AUXILIARY, _READY = range(5)


class Electrochemical:
    """`gas`: no2, o3, co, so2, h2s, nh3 or no. `cell`: the maker's name, as in `cells.py` (NO2-B43F, OX-B431
    ...), for the reading with temperature; `algorithm` 1 to 4 chooses among the AN's, None takes what it suggests.

    `working` and `auxiliary` are the converter's inputs, 0 to 3; no auxiliary electrode is None. From the labels of
    cell and board, in mV: `we_electronic` and `ae_electronic`, the board's offsets (AN: WEe, AEe), `we_zero` and
    `ae_zero`, the cell's own in clean air (WE0, AE0). `sensitivity` in uV for each ppb.

    An ozone cell takes nitrogen dioxide for ozone: `no2_sensitivity` in uV for each ppb of NO2 subtracts it, as another
    sensor has it. `address`, `full_scale`, `data_rate`: see `ads1115.py`.
    """

    BUS = "i2c"
    QUANTITIES = ()
    WANTS = (TEMPERATURE, NO2, NO2_CORRECTED)

    def __init__(
        self,
        bus,
        gas="no2",
        cell=None,
        algorithm=None,
        address=0x48,
        working=0,
        auxiliary=1,
        we_electronic=0,
        ae_electronic=0,
        we_zero=0,
        ae_zero=0,
        sensitivity=300,
        no2_sensitivity=0,
        full_scale=2048,
        data_rate=8,
    ):
        if not 0x48 <= address <= 0x4B:
            raise ValueError("address is 0x48 to 0x4B")
        gases = ("no2", "o3", "co", "so2", "h2s", "nh3", "no")
        if gas not in gases:
            raise ValueError("gas is one of " + ", ".join(gases))
        if working not in (0, 1, 2, 3) or auxiliary not in (0, 1, 2, 3, None) or working == auxiliary:
            raise ValueError("working and auxiliary are two of the inputs 0 to 3")
        for offset in (we_electronic, ae_electronic, we_zero, ae_zero):
            if not -5000 <= offset <= 5000:
                raise ValueError("zeros are -5000 to 5000 mV")
        if not 1 <= sensitivity <= 100000 or not 0 <= no2_sensitivity <= 100000:
            raise ValueError("sensitivities are 1 (of NO2 0) to 100000 uV for each ppb")
        at = gases.index(gas)
        quantities = [(NO2, O3, CO, SO2, H2S, NH3, NO)[at]]
        self._algorithm = None
        if cell is not None:
            found = factors(cell, algorithm)
            if found is None:
                raise ValueError("no factors for cell %s and algorithm %s" % (cell, algorithm))
            self._algorithm, self._factors = found
            if self._algorithm < 4 and auxiliary is None or self._algorithm == 2 and not ae_zero:
                raise ValueError("this algorithm needs the auxiliary electrode, algorithm 2 its zero")
            quantities.append(
                (NO2_CORRECTED, O3_CORRECTED, CO_CORRECTED, SO2_CORRECTED, H2S_CORRECTED, NH3_CORRECTED, NO_CORRECTED)[
                    at
                ]
            )
        elif algorithm is not None:
            raise ValueError("algorithm needs a cell")
        self.QUANTITIES = tuple(quantities)
        self._corrected_quantity = quantities[-1]
        self._converter = ADS1115(bus, address, full_scale, data_rate)
        self._working = working
        self._auxiliary = auxiliary
        self._offsets = (we_electronic * UNIT, ae_electronic * UNIT)
        self._zeros = (we_zero * UNIT, ae_zero * UNIT)
        self._sensitivity = sensitivity
        self._cross = no2_sensitivity
        self._temperature = None
        self._no2 = [None, None]
        self._we = 0
        self._ae = 0
        self._state = _IDLE

    def know(self, quantity, value):
        """The air's temperature, and for ozone the nitrogen dioxide, without and with regard to temperature."""
        if quantity == TEMPERATURE:
            self._temperature = value
        elif quantity == NO2:
            self._no2[0] = value
        elif quantity == NO2_CORRECTED:
            self._no2[1] = value

    def start(self):
        state = self._state
        self._state = _IDLE  # until this step has succeeded
        if state == _READY:
            self._state = _READY
            return 0
        if state == _IDLE or state == _BETWEEN:
            return self._convert(state)
        if not self._converter.done():
            self._state = state
            return 10
        if state == _WORKING:
            self._we = self._converter.voltage()
            if self._auxiliary is not None:
                return self._convert(_BETWEEN)
            self._ae = self._offsets[1] + self._zeros[1]
        else:
            self._ae = self._converter.voltage()
        self._state = _READY
        return 0

    def read(self):
        state = self._state
        self._state = _IDLE
        if state != _READY:
            raise Fault(WARMING_UP, "read before start had returned 0")
        if self._we is None or self._ae is None:
            return [(quantity, None, SATURATED) for quantity in self.QUANTITIES]
        we = self._we - self._offsets[0]
        ae = self._ae - self._offsets[1]
        reading = self._reading(0, plain(we, ae, self._zeros[0], self._zeros[1]))
        if self._algorithm is None:
            return (reading,)
        return (reading, self._corrected(we, ae))

    def stop(self):
        """The converter powers down by itself; the cell must stay on its potentiostat for hours to be of use."""
        self._state = _IDLE
        self._converter.release()
        return 0

    def _corrected(self, we, ae):
        if self._temperature is None:
            return (self._corrected_quantity, None, NO_ANSWER)
        signal = compensated(self._algorithm, self._factors, we, ae, self._zeros[0], self._zeros[1], self._temperature)
        if signal is None:
            return (self._corrected_quantity, None, OUT_OF_RANGE)
        return self._reading(1, signal)

    def _reading(self, which, signal):
        """ppb from a signal; an ozone cell's less what nitrogen dioxide gives in it."""
        quantity = self.QUANTITIES[which]
        if self._cross:
            no2 = self._no2[which]
            if no2 is None:
                return (quantity, None, NO_ANSWER)
            signal -= no2 * self._cross * 16
        return (quantity, ppb(signal, self._sensitivity), OK)

    def _convert(self, state):
        """The working electrode's conversion, or between the two the auxiliary one's; later, if another cell's runs."""
        wait = self._converter.convert(self._working if state == _IDLE else self._auxiliary)
        if wait < 0:
            self._state = state
            return -wait
        self._state = state + 1
        return wait


DRIVER = Electrochemical
