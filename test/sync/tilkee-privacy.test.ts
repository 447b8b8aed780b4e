import { shareCases } from '../helpers/share.ts';
import { CASES, describePrivacy } from './tilkee-privacy.ts';

describePrivacy(shareCases(CASES, 4).some);
