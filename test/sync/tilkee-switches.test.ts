import { shareCases } from '../helpers/share.ts';
import { CASES, describeSwitches } from './tilkee-switches.ts';

describeSwitches(shareCases(CASES, 18).some);
