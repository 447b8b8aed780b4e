import { shareCases } from '../helpers/share.ts';
import { describeFaults, describeOrders, describeRefreshes, FAULTS, ORDERS, REFRESH_CASES } from './tilkee-trouble.ts';

describeFaults(shareCases(FAULTS, 6).some);
describeOrders(shareCases(ORDERS, 4).some);
describeRefreshes(shareCases(REFRESH_CASES, 5).some);
