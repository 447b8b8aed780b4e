import { describeScale } from './tilkee-size.ts';

describeScale(0.1);
