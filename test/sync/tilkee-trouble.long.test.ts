import { shareCases } from '../helpers/share.ts';
import { describeFaults, describeOrders, describeRefreshes, FAULTS, ORDERS, REFRESH_CASES } from './tilkee-trouble.ts';

describeFaults(shareCases(FAULTS, 3).others);
describeOrders(shareCases(ORDERS, 4).others);
describeRefreshes(shareCases(REFRESH_CASES, 5).others);
